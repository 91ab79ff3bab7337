"""Compares a batch with its group's own history: volume, freshness and distribution, metric by metric.

What is unusual opens an incident and changes no verdict, unless the checkpoint says `severity: critical`. The tested
batch, batches that were held or are no problem by a person's word, and what was unusual before teach nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import asin, sin, sqrt

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Group
from dataops.gate import metrics
from dataops.gate.seasonal import Expected, expected
from dataops.gate.verdict import Verdict
from dataops.ledger import batches, incidents
from dataops.ledger import metrics as kept
from dataops.ledger.batches import Batch
from dataops.ledger.enums import IncidentKind, VerdictName
from dataops.ledger.incidents import Detail, Unusual
from dataops.ledger.metrics import Name

WEEK = timedelta(days=7)
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  as the ledger
KEPT_PERIODS, KEPT = 6, 90  # how far back history is read: six seasons, at least 90 batches
LEAST_ROWS_SCALE = 0.05  # of the expected rows: a regular source varies less, but nobody wants to hear of it
LEAST_SHARE_SCALE = 0.005
LEAST_AGE_SCALE = 1.0  # hours
FAMILIES = {"rows": "volume", "age_hours": "freshness", "null_share": "distribution", "share": "distribution"}
SHOWN = 10
READ = 2000  # earlier batches looked at, whatever their length


@dataclass(frozen=True)
class Finding:
    """A metric of the batch that its history did not let expect."""

    name: Name
    value: float
    usual: Expected

    @property
    def surprise(self) -> float:
        return abs(self.usual.surprise(self.value))

    @property
    def family(self) -> str:
        return FAMILIES[self.name[2].partition(":")[0]]

    @property
    def says(self) -> str:
        """`orders has 14 rows, usual are 28`."""
        table, column, metric = self.name
        kind, _, category = metric.partition(":")
        value, usual = self.value, self.usual.value
        return {
            "rows": f"{table} has {value:,.0f} rows, usual are {usual:,.0f}",
            "age_hours": f"newest {column} of {table}: {value:,.1f} h before the window ends, usual are {usual:,.1f}",
            "null_share": f"{column} of {table} is empty in {value:.1%} of rows, usual are {usual:.1%}",
            "share": f"{category} is {column} of {value:.1%} of {table}, usual are {usual:.1%}",
        }[kind]


def watch(connection: Connection, group: Group, batch: Batch, verdict: Verdict) -> Verdict:
    """Stores the batch's metrics, and tells of what is unusual about a batch that may be published.

    Returns the verdict as it was, or FAILED where the checkpoint calls anomalies critical.
    """
    if batch.is_replay:  # a handful of rows says nothing about a day
        return verdict
    metrics.store(connection, group, batch, excluded=not verdict.passed)
    policy = group.checkpoint.anomalies
    if (
        policy.severity == "off"
        or not verdict.passed
        or not group.is_loaded
        or incidents.is_settled(connection, batch.seq)
    ):
        return verdict
    found = findings(connection, group, batch)
    if not found:
        return verdict
    _teach_nothing(connection, batch, found)
    if policy.severity == "critical":
        return replace(verdict, name=VerdictName.FAILED, reasons=tuple(f.says for f in found[:SHOWN]))
    for cause, part in _by_cause(found).items():
        detail = Detail(findings=tuple(_unusual(f) for f in part[:SHOWN]), table=part[0].name[0])
        more = f" ({len(part) - 1} more)" if len(part) > 1 else ""
        incidents.open_for(
            connection, group.name, batch.seq, part[0].says + more, detail, kind=IncidentKind.ANOMALY, cause=cause
        )
    return verdict


def findings(connection: Connection, group: Group, batch: Batch) -> list[Finding]:
    """What is unusual about the stored metrics of a batch, the most surprising first."""
    current, history = _read(connection, batch)
    sensitivity = group.checkpoint.anomalies.sensitivity
    found = [
        Finding(name, value, usual)
        for name, value, usual in _compared(current, history, batch)
        if abs(usual.surprise(value)) >= sensitivity
    ]
    return sorted(found, key=lambda f: (-f.surprise, str(f.name)))


def _compared(
    current: Mapping[Name, float], history: Sequence[History], batch: Batch
) -> Iterator[tuple[Name, float, Expected]]:
    period = _period(batch)
    known = {n for past in history for n in past.values}
    stable = _categories(known)
    for name in sorted({*current, *known}, key=str):
        if not _is_tested(name, current, stable):
            continue
        points = [(past.step, past.of(name)) for past in history if past.knows(name)]
        if not points:
            continue
        value = current.get(name, 0.0)
        steps, values = zip(*points, strict=True)
        rows = current.get((name[0], None, "rows"), 0.0)
        usual = expected(steps, values, _step(batch), period, _floor(name[2], values, rows))
        if usual is not None and name[2].startswith("share:") and value == 0:
            usual = _of_what_is_gone(steps, values, _step(batch), period, rows) or usual
        if usual is not None:
            yield name, value, usual


def _of_what_is_gone(
    steps: Sequence[int], values: Sequence[float], at: int, period: int | None, rows: float
) -> Expected | None:
    """What to expect of a share that is zero now, on the scale of arcsin(sqrt(share)), put back in shares.

    A share varies the less the nearer it is to zero; on that scale it varies alike everywhere, by 1 / (2 sqrt(rows))
    (Anscombe 1948). Ten per cent of 360 rows that are none are no chance, though only six plain deviations away.
    """
    if rows < 1:
        return None
    usual = expected(steps, [asin(sqrt(value)) for value in values], at, period, 1 / (2 * sqrt(rows)))
    if usual is None or usual.value <= 0:
        return None
    share = sin(usual.value) ** 2
    return Expected(share, share * usual.scale / usual.value)


def _categories(known: Collection[Name]) -> set[tuple[str, str | None]]:
    """Columns whose few values recur: one that brings other values every day holds identifiers, not categories."""
    values = Counter((table, column) for table, column, metric in known if metric.startswith("share:"))
    return {place for place, count in values.items() if count <= metrics.CATEGORIES}


def _is_tested(name: Name, current: Mapping[Name, float], categories: Collection[tuple[str, str | None]]) -> bool:
    """Extremes and distinct counts follow volume and single rows. A category that is gone is tested as zero."""
    table, column, metric = name
    if metric.startswith("share:"):
        return (table, column) in categories and _has_shares(current, table, column)
    return metric in FAMILIES and name in current


def _has_shares(values: Mapping[Name, float], table: str, column: str | None) -> bool:
    """Whether shares were taken of a column."""
    distinct = values.get((table, column, "distinct"))
    return distinct is not None and 1 <= distinct <= metrics.CATEGORIES


def _floor(metric: str, values: Sequence[float], rows: float) -> float:
    """The least standard deviation: for counts what chance does, for shares that of drawing so many rows."""
    mean = sum(values) / len(values)
    if metric == "rows":
        return max(1.0, LEAST_ROWS_SCALE * mean)
    if metric == "age_hours":
        return LEAST_AGE_SCALE
    drawn = max(rows, 1.0)
    likely = min(max(mean, 1 / drawn), 1 - 1 / drawn) if drawn > 1 else 0.5
    return max(LEAST_SHARE_SCALE, sqrt(likely * (1 - likely) / drawn))


@dataclass(frozen=True)
class History:
    """The metrics of an earlier batch, and where it stands in time."""

    step: int
    values: Mapping[Name, float]

    def knows(self, name: Name) -> bool:
        """Whether the batch says anything about the metric: a category it does not have has no share, which is one."""
        table, column, metric = name
        return name in self.values or (metric.startswith("share:") and _has_shares(self.values, table, column))

    def of(self, name: Name) -> float:
        return self.values.get(name, 0.0)


def _read(connection: Connection, batch: Batch) -> tuple[dict[Name, float], list[History]]:
    """The batch's metrics, and those of earlier windows of the same length, oldest first, one per window."""
    before = _earlier(connection, batch)
    values = kept.of_batches(connection, batch.seq, [earlier.seq for earlier in before])
    by_number = sorted(before, key=lambda earlier: earlier.seq)
    past = {_step(b): History(_step(b), values[b.seq]) for b in by_number if b.seq in values}
    return values.get(batch.seq, {}), [past[step] for step in sorted(past)]


def _earlier(connection: Connection, batch: Batch) -> list[Batch]:
    length, most = _length(batch), max(KEPT, KEPT_PERIODS * (_period(batch) or 0))
    return [b for b in batches.earlier_judged(connection, batch, READ) if _length(b) == length][:most]


def _length(batch: Batch) -> timedelta | None:
    return None if batch.window is None else batch.window.end - batch.window.start


def _step(batch: Batch) -> int:
    """Place in time: the number of the window, or of the batch where there are no windows."""
    if batch.window is None:
        return batch.seq
    return (batch.window.end - EPOCH) // (batch.window.end - batch.window.start)


def _period(batch: Batch) -> int | None:
    """Windows per week, where a week is made of whole windows."""
    length = _length(batch)
    if length is None or length >= WEEK or WEEK % length:
        return None
    return int(WEEK / length)


def _teach_nothing(connection: Connection, batch: Batch, found: Sequence[Finding]) -> None:
    """The series that were surprised leave the batch out; all others learn from it.

    A category that is gone has no share to mark, so the count of its column's values is marked as well: without it
    nobody takes what is not there for none.
    """
    for table, column, metric in (f.name for f in found):
        marked = [metric, "distinct"] if metric.startswith("share:") else [metric]
        kept.exclude_series(connection, batch.seq, table, column, marked)


def _by_cause(found: Sequence[Finding]) -> dict[str, list[Finding]]:
    """One cause per dataset: its most surprising metric names the kind, the others are told with it."""
    tables: dict[str, list[Finding]] = {}
    for finding in found:
        tables.setdefault(finding.name[0], []).append(finding)
    return {f"{table}:{part[0].family}": part for table, part in tables.items()}


def _unusual(finding: Finding) -> Unusual:
    table, column, metric = finding.name
    return Unusual(
        metric=f"{column} {metric}" if column else metric,
        table=table,
        says=finding.says,
        value=finding.value,
        usual=finding.usual.value,
        scale=finding.usual.scale,
        surprise=round(finding.surprise, 1),
    )
