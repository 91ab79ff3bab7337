"""Settings from the environment; parsed once, strictly, and safe to print.

Knows nothing of warehouses or sources beyond their addresses.
"""

from __future__ import annotations

import getpass
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from dataops.declared import project as projects
from dataops.declared.errors import DeclarationError
from dataops.declared.paths import Paths, find_project
from dataops.declared.project import Language, Project, Timeouts

KNOWN = {
    "DATAOPS_WAREHOUSE_URL": "duckdb:///<home>/warehouse.duckdb, or postgresql://user:password@host:port/database",
    "DATAOPS_SOURCE_URL": "csv:<folder>, files:<folder>, postgresql://user:password@host/database, mssql://…",
    "DATAOPS_HOME": "folder that runs write to; default var/",
    "DATAOPS_PROJECT": "folder that holds project.yml; default: the nearest one upwards",
    "DATAOPS_LOCK_SECONDS": "how long a run waits for another of its group or for the file; default: project.yml, 60",
    "DATAOPS_QUERY_SECONDS": "how long a query may compute; default: project.yml, 300",
    "DATAOPS_RULE_SECONDS": "how long the rules of a batch may compute; default: project.yml, 3600",
    "DATAOPS_MODEL_SECONDS": "how long a model may compute; default: project.yml, 3600",
    "DATAOPS_LOCALE": "language of reports whose command names none: en or fr; default: the report's own",
    "DATAOPS_SITE_URL": "where people open the site, as messages link to it; default http://127.0.0.1:8081",
    "DATAOPS_AIRFLOW_URL": "where people open Airflow; default http://127.0.0.1:8080",
    "DATAOPS_SLACK_WEBHOOK": "a Slack webhook that messages go to where no connection slack_default is set; a secret",
    "DATAOPS_LINEAGE_URL": "the OpenLineage server, such as Marquez, that lineage is told to",
    "DATAOPS_LINEAGE_KEY": "the API key that a proxy before it asks for; a secret",
    "DATAOPS_PERSON": "who acts, as the ledger records it; default: the operating system's user",
}
SITE, AIRFLOW = "http://127.0.0.1:8081", "http://127.0.0.1:8080"
"""Where `make up` serves them."""
TEST_ONLY = ("DATAOPS_FAILPOINT", "DATAOPS_TEST_")


@dataclass(frozen=True)
class Settings:
    """Addresses and limits of one installation."""

    paths: Paths
    project: Project
    warehouse_url: str
    source_url: str | None
    lock_seconds: float
    query_seconds: float
    rule_seconds: float
    model_seconds: float
    language: Language | None = None
    site_url: str = SITE
    airflow_url: str = AIRFLOW

    @property
    def warehouse_name(self) -> str:
        """The warehouse's address without its password."""
        return make_url(self.warehouse_url).render_as_string(hide_password=True)


def load(environ: Mapping[str, str] | None = None, project: Path | None = None) -> Settings:
    """Settings of this process. Raises DeclarationError on an unknown variable, a bad URL or a bad number."""
    environ = os.environ if environ is None else environ
    _refuse_unknown(environ)
    root = project or find_project()
    paths = Paths(root, Path(environ.get("DATAOPS_HOME") or root / "var").resolve())
    url = environ.get("DATAOPS_WAREHOUSE_URL") or f"duckdb:///{paths.warehouse}"
    own = projects.load(root)
    source = environ.get("DATAOPS_SOURCE_URL") or None
    lock, query, rule, model = _limits(environ, own.timeouts)
    links = _link(environ, "DATAOPS_SITE_URL", SITE), _link(environ, "DATAOPS_AIRFLOW_URL", AIRFLOW)
    return Settings(paths, own, _checked_url(url), source, lock, query, rule, model, _language(environ), *links)


def _link(environ: Mapping[str, str], name: str, otherwise: str) -> str:
    """An address that people open, without a slash at its end."""
    url = (environ.get(name) or otherwise).rstrip("/")
    if not re.fullmatch(r"(https?|file)://[^\s<>\"|]*", url):
        raise DeclarationError(f"{name} is {url!r}; write an address such as {otherwise}")
    return url


def _language(environ: Mapping[str, str]) -> Language | None:
    """`fr`, or `fr_FR.UTF-8` as the operating system says it."""
    text = environ.get("DATAOPS_LOCALE", "").strip()
    known: tuple[Language, ...] = get_args(Language)
    for language in known:
        if text == language or text.startswith(f"{language}_"):
            return language
    if text:
        raise DeclarationError(f"DATAOPS_LOCALE is {text!r}; reports are written in {', '.join(get_args(Language))}")
    return None


def person(environ: Mapping[str, str] | None = None) -> str:
    """Who acts: what the environment says, else the operating system's user."""
    environ = os.environ if environ is None else environ
    return environ.get("DATAOPS_PERSON", "").strip() or getpass.getuser()


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    for name in environ:
        if name.startswith("DATAOPS_") and name not in KNOWN and not name.startswith(TEST_ONLY):
            raise DeclarationError(f"environment: unknown setting {name}; known are {', '.join(KNOWN)}")


def require_one_at(name: str, url: str) -> None:
    """Raises DeclarationError, which repeats nothing of it, where a password would be cut at its @."""
    if re.split(r"[/?]", url.partition("://")[2], maxsplit=1)[0].count("@") > 1:
        raise DeclarationError(f"{name} holds more than one @ before its host; write %40 for one in a name or password")


def _checked_url(url: str) -> str:
    require_one_at("DATAOPS_WAREHOUSE_URL", url)
    try:
        backend = make_url(url).get_backend_name()
    except (ArgumentError, ValueError):
        # The value may hold a password: the message must not repeat it.
        raise DeclarationError(
            f"DATAOPS_WAREHOUSE_URL is not a URL; expected {KNOWN['DATAOPS_WAREHOUSE_URL']}"
        ) from None
    if backend not in {"duckdb", "postgresql"}:
        raise DeclarationError(
            f"DATAOPS_WAREHOUSE_URL: no warehouse speaks {backend!r}; expected {KNOWN['DATAOPS_WAREHOUSE_URL']}"
        )
    return url


def _limits(environ: Mapping[str, str], timeouts: Timeouts) -> Iterator[float]:
    """Of locks, queries, rules and models, in this order."""
    yield _seconds(environ, "DATAOPS_LOCK_SECONDS", timeouts.lock)
    for kind, default in (("QUERY", timeouts.query), ("RULE", timeouts.rule), ("MODEL", timeouts.model)):
        name = f"DATAOPS_{kind}_SECONDS"
        seconds = _seconds(environ, name, default)
        if seconds == 0:
            raise DeclarationError(f"{name} is 0; nothing could be computed")
        yield seconds


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, str(default))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < math.inf:
        raise DeclarationError(f"{name} is {text!r}, not a number of seconds")
    return seconds
