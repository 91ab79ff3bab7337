"""`make demo-live`: people work in the source while it is loaded, and in the end both sides are equal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
PROJECT = Path(__file__).resolve().parents[2]


def test_people_work_while_it_is_loaded_and_both_sides_are_equal_in_the_end(tmp_path: Path) -> None:
    """With a real PostgreSQL and a real Airflow, of which nothing is left running."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("DATAOPS_", "AIRFLOW_"))}
    environ |= {"DATAOPS_HOME": str(tmp_path / "home"), "DATAOPS_SOURCE_URL": "generator:?scale=0.05&seed=7"}
    done = subprocess.run(
        [sys.executable, "-m", "dataops.lab.demo.live"], cwd=PROJECT, env=environ, capture_output=True, text=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    meanwhile = re.findall(r"success; meanwhile (\d+) committed late", done.stdout)
    assert len(meanwhile) == 2
    assert int(meanwhile[1]) > 3, done.stdout
    assert re.search(r"both sides are equal: [\d,]+ rows, every value", done.stdout)
    assert "secret" not in done.stdout
