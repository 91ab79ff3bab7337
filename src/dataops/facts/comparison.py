"""What of a group is not as its source has it, what it took to know, and what was loaded because of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from dataops.facts.document import Document, Moment, Part
from dataops.ledger.enums import VerdictName

if TYPE_CHECKING:
    from dataops.pipeline.jobs import Differences, Load
    from dataops.sources.port import Window

HELD, ERROR = 1, 3
"""Exit codes."""


class DatasetComparison(Part):
    """One dataset, compared by keys and stamps or by all values."""

    dataset: str
    ahead: int
    """rows that only the source has"""
    behind: int
    """rows that only we have"""
    differs: int
    """rows of which the source has another version"""
    questions: int
    """asked of both sides"""
    lines: int
    """that came over: sums of blocks, and rows where they differ"""
    seconds: float


class WindowLoad(Part):
    """One window that was, or would be, loaded."""

    start: Moment
    end: Moment
    batch: str | None = None
    outcome: str | None = None
    """published, unchanged, held or error; none where nothing was loaded"""


class ComparisonDocument(Document):
    """What a group and its source differ in."""

    document: ClassVar[str] = "comparison"
    group: str
    source: str
    datasets: tuple[DatasetComparison, ...]
    windows: tuple[WindowLoad, ...]
    exit_code: int

    @property
    def differing(self) -> list[DatasetComparison]:
        """Datasets that are not the same."""
        return [d for d in self.datasets if d.ahead or d.behind or d.differs]


class BackfillDocument(Document):
    """A long window, loaded piece by piece."""

    document: ClassVar[str] = "backfill"
    group: str
    source: str
    windows: tuple[WindowLoad, ...]
    left_out: int
    """pieces that stood already"""
    exit_code: int


def back_filled(group: str, source: str, loads: Sequence[tuple[Window, Load]], left_out: int) -> BackfillDocument:
    """Of the pieces that were loaded."""
    windows = tuple(_loads([window for window, _ in loads], [load for _, load in loads]))
    return BackfillDocument(
        group=group, source=source, windows=windows, left_out=left_out, exit_code=_code(w.outcome for w in windows)
    )


def _code(outcomes: Iterable[str | None]) -> int:
    known = set(outcomes)
    return ERROR if "error" in known else HELD if "held" in known else 0


def of(group: str, source: str, found: Differences, loads: Sequence[Load] | None) -> ComparisonDocument:
    """`loads`: one per window; None: nothing was to be loaded."""
    datasets = tuple(
        DatasetComparison(
            dataset=d.dataset.published_name, ahead=d.ahead, behind=d.behind, differs=d.differs,
            questions=d.cost.questions, lines=d.cost.lines, seconds=round(d.seconds, 3),
        )
        for d in found.datasets
    )  # fmt: skip
    windows = tuple(_loads(found.windows, loads))
    differing = any(d.ahead or d.behind or d.differs for d in datasets)
    code = HELD if loads is None and differing else _code(window.outcome for window in windows)
    return ComparisonDocument(group=group, source=source, datasets=datasets, windows=windows, exit_code=code)


def _loads(windows: Sequence[Window], loads: Sequence[Load] | None) -> Iterable[WindowLoad]:
    for number, window in enumerate(windows):
        done = loads[number] if loads is not None else None
        batch, outcome = (done.batch_id, _outcome(done)) if done else (None, None)
        yield WindowLoad(start=window.start, end=window.end, batch=batch, outcome=outcome)


def _outcome(load: Load) -> str:
    if load.publication is not None:
        return load.publication.status
    return "error" if load.verdict is None or load.verdict.name is VerdictName.ERROR else "held"
