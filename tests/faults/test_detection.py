"""The gate's own detection, measured on Microsoft's data: corruptions are found, clean rows are let pass.

The 2014 edition is loaded once; a catalogue of corruptions that follows from the declarations is planted into it.
`detection.yml` holds what was measured last of each group, and a hash of what it depends on: rules, models,
corruptions, the gate's own code and both engines' versions. A group of which none of it changed is not measured again.
`DATAOPS_TEST_DETECTION=all` (as `make soak` does) measures all, `=write` puts the results into the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dataops.declared import catalog as catalogs
from dataops.declared import settings
from dataops.declared.catalog import Catalog
from dataops.declared.paths import Paths
from dataops.lab.corruptions.run import score
from dataops.lab.corruptions.score import Finding, Score
from dataops.ledger.workspace import open_workspace
from tests.conftest import PROJECT

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]  # measured once for all, on machines that may be busy

EDITION = PROJECT / "../shared/adventureworks/oltp-2014"
FILE = Path(__file__).parent / "detection.yml"
HEAD = "# What was measured last on the 2014 edition, and the hash of what it depends on; see test_detection.py.\n"
MODE = os.environ.get("DATAOPS_TEST_DETECTION", "")
CATALOG = catalogs.load(Paths(PROJECT, PROJECT / "var"))
GROUPS = tuple(sorted(CATALOG.groups))
CODE = ("gate/*.py", "declared/rendering.py", "declared/meaning.py", "declared/kinds.py", "lab/corruptions/*.py")
KINDS_OF_HISTORY = {"drifted", "category gone", "half missing"}


@dataclass(frozen=True)
class Measured:
    """Of one group: planted and detected by level, and what must be empty or of a known kind."""

    row: tuple[int, int]
    set: tuple[int, int]
    untripped: tuple[str, ...]
    false_alarms: tuple[str, ...]
    history: tuple[str, ...]
    """kinds of corruptions that only history shows, with `detected` where a rule noticed one all the same"""

    @classmethod
    def of(cls, found: Score) -> Measured:
        """What is kept of a score."""
        late = found.of("set", history=True)
        kinds = {f"{f.corruption.kind}{' detected' if f.detected else ''}" for f in late}
        return cls(
            _count(found.of("row")), _count(found.of("set")), found.untripped, found.false_alarms, tuple(sorted(kinds))
        )

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Measured:
        return cls(**{name: tuple(kept.get(name, ())) for name in cls.__dataclass_fields__})


def _count(findings: list[Finding]) -> tuple[int, int]:
    return len(findings), sum(f.detected for f in findings)


def fingerprint(catalog: Catalog, group: str) -> str:
    """sha256 of everything that a group's detection depends on."""
    rules = [catalog.groups[name].rules_hash for name in sorted(catalog.groups)]  # a group refers to others' rows
    models = [model.text for model in catalog.models if model.table in catalog.groups[group].tables]
    source = PROJECT / "src/dataops"
    code = [file.read_text("utf-8") for pattern in CODE for file in sorted(source.glob(pattern))]
    own = PROJECT / "corruptions" / f"{group}.yml"
    code += [own.read_text("utf-8")] if own.exists() else []
    engines = [version(name) for name in ("great_expectations", "soda-core", "sqlglot")]
    return hashlib.sha256("\0".join([*rules, *models, *code, *engines]).encode()).hexdigest()


COMMITTED: dict[str, Any] = YAML(typ="safe").load(FILE.read_text("utf-8"))
CHANGED = [g for g in GROUPS if MODE or COMMITTED.get(g, {}).get("hash") != fingerprint(CATALOG, g)]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Measured]:
    """Of each group: what is committed, or the measurement, some minutes for all that changed."""
    if not CHANGED:
        return lambda group: Measured.read(COMMITTED[group])
    work = open_workspace(settings.load({"DATAOPS_HOME": str(tmp_path_factory.mktemp("home"))}, project=PROJECT))
    scores = {s.group: Measured.of(s) for s in score(work, f"csv:{EDITION.resolve()}", CHANGED)}
    if MODE == "write":
        _write(scores)
    return lambda group: scores.get(group) or Measured.read(COMMITTED[group])


def _write(scores: dict[str, Measured]) -> None:
    """Replaces the file by what was measured."""
    kept = {g: vars(m) | {"hash": fingerprint(CATALOG, g)} for g, m in scores.items()}
    plain = {g: {name: list(v) if isinstance(v, tuple) else v for name, v in m.items()} for g, m in kept.items()}
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = 120
    with FILE.open("w", encoding="utf-8") as file:
        file.write(HEAD)
        yaml.dump(COMMITTED | plain, file)


@pytest.mark.parametrize("group", GROUPS)
def test_every_rule_is_tripped_by_a_corruption(measured: Callable[[str], Measured], group: str) -> None:
    assert measured(group).untripped == ()


@pytest.mark.parametrize("group", GROUPS)
def test_clean_data_break_no_critical_rule(measured: Callable[[str], Measured], group: str) -> None:
    assert measured(group).false_alarms == ()


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize(("level", "share"), [("row", 0.95), ("set", 0.90)])
def test_the_score_does_not_fall(measured: Callable[[str], Measured], group: str, level: str, share: float) -> None:
    """Neither below what was promised nor below what was found before."""
    planted, detected = getattr(measured(group), level)
    assert detected / planted >= share
    before = COMMITTED[group][level]
    assert planted >= before[0], "fewer corruptions are planted than before; change detection.yml if that is meant"
    assert detected >= before[1]


@pytest.mark.parametrize("group", GROUPS)
def test_what_needs_history_is_listed_and_not_counted(measured: Callable[[str], Measured], group: str) -> None:
    """A group's mean that moved: no single batch shows it."""
    assert set(measured(group).history) <= KINDS_OF_HISTORY
