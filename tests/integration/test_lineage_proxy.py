"""What compose.yaml puts before Marquez: the same file, in a real Caddy, before the double."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from dataops.lab.airflow.headless import free_port
from dataops.outlets.lineage.backend import Backend
from dataops.outlets.refusals import LaterError
from tests.support.crash import wait_until
from tests.support.marquez import MarquezDouble

pytestmark = [pytest.mark.integration, pytest.mark.quick]
PROJECT = Path(__file__).resolve().parents[2]
KEY = "canary-7719"
EVENT = {"eventType": "START", "eventTime": "2026-05-01T10:00:00.000Z"}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MarquezDouble, str, str]]:
    """The double, and where the proxy serves its API and its pages."""
    home = tmp_path_factory.mktemp("caddy")
    with MarquezDouble() as double:
        api, web = free_port(), free_port()
        place = double.url.removeprefix("http://")
        own = {"LINEAGE_PORT": str(api), "LINEAGE_WEB_PORT": str(web), "MARQUEZ": place, "MARQUEZ_WEB": place}
        own |= {"DATAOPS_LINEAGE_KEY": KEY, "HOME": str(home), "XDG_DATA_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
        file = PROJECT / "lineage/marquez/Caddyfile"
        caddy = subprocess.Popen(
            ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"],
            env=os.environ | own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            urls = f"http://127.0.0.1:{api}", f"http://127.0.0.1:{web}"
            wait_until(lambda: all(_answers(url) for url in urls), 30, "Caddy to serve")
            yield double, *urls
        finally:
            caddy.terminate()
            caddy.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).status_code > 0
    except requests.ConnectionError:
        return False


def test_who_tells_shows_the_key(ports: tuple[MarquezDouble, str, str]) -> None:
    double, api, _ = ports
    for auth in ({}, {"auth": {"type": "api_key", "apiKey": f"{KEY}-wrong"}}):
        with pytest.raises(LaterError, match="it does not know us"):
            Backend({"type": "http", "url": api, **auth}).send(EVENT)
    assert double.store.execute("SELECT COUNT(*) FROM events").fetchone()[0] == 0
    double.script.append(500)
    with pytest.raises(LaterError, match="answers 500"):  # it got through, and the double answers as it was told
        Backend({"type": "http", "url": api, "auth": {"type": "api_key", "apiKey": KEY}}).send(EVENT)
    assert not double.script


def test_who_looks_may_not_write(ports: tuple[MarquezDouble, str, str]) -> None:
    _, api, web = ports
    assert requests.get(f"{web}/api/v1/namespaces", timeout=5).status_code == 200
    assert requests.get(f"{api}/api/v1/namespaces", timeout=5).status_code == 401
    for method in ("POST", "DELETE", "PUT"):
        assert requests.request(method, f"{web}/api/v1/namespaces/default", timeout=5).status_code == 405


def test_nothing_but_the_proxy_is_reachable_and_only_from_this_machine() -> None:
    services = yaml.safe_load((PROJECT / "compose.yaml").read_text("utf-8"))["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["proxy"]
    assert all(port.startswith("127.0.0.1:") for port in services["proxy"]["ports"])
    files = [volume.split(":")[0] for s in services.values() for volume in s.get("volumes", ()) if volume[0] == "."]
    assert len(files) == 2
    assert all((PROJECT / file).is_file() for file in files)
    assert all(":latest" not in s["image"] and ":" in s["image"] for s in services.values())
    assert yaml.safe_load((PROJECT / "lineage/marquez/marquez.yml").read_text("utf-8"))["dbRetention"]["retentionDays"]
