"""What an incident knows of its problem: the facts as they were when it was last seen."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from dataops.ledger.enums import VerdictName
from dataops.ledger.reading import Record


class BrokenRule(Record):
    """A rule that failed or could not be judged. `failing` counts rows, None where it names none."""

    rule: str
    table: str
    says: str
    failing: int | None = None
    observed: str | None = None


class First(Record):
    """Dataset and rule of the failure that came first."""

    table: str
    rule: str


class Money(Record):
    """Of the rows of a batch: what came and what of it is held, exact, as text."""

    column: str
    received: str
    held: str


class Trait(Record):
    """A value that `bad` of `of_bad` failing rows have, and `good` of `of_good` others. NULL is a value: None."""

    column: str
    value: str | None
    bad: int
    of_bad: int
    good: int
    of_good: int


class Unusual(Record):
    """A metric that its history did not let expect; `surprise` in standard deviations."""

    metric: str
    table: str
    says: str
    value: float
    usual: float
    scale: float
    surprise: float


class Difference(Record):
    """One column of the source that is not as the contract says."""

    what: str  # new, missing, retyped, reordered
    column: str
    agreed: str | None = None
    found: str | None = None


class Detail(Record):
    """Of a held batch: verdict to pattern; of an anomaly: findings; of drift: diff; the rest is the warehouse's."""

    verdict: VerdictName | None = None
    reasons: tuple[str, ...] = ()
    rules: tuple[BrokenRule, ...] = ()
    rows_held: int = 0
    rows_received: int | None = None
    money: Annotated[Money | None, BeforeValidator(lambda money: money or None)] = None
    first: First | None = None
    pattern: tuple[Trait, ...] = ()
    batches: tuple[int, ...] = ()
    findings: tuple[Unusual, ...] = ()
    table: str | None = None
    differences: tuple[Difference, ...] = ()
    diff: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    publication: str | None = None
    backup: str | None = None
    gone: tuple[str, ...] = ()
    healed_at: str | None = None
    torn_blocks: tuple[int, ...] = ()
    log_bytes_cut: int = 0
    receipts_proven: int | None = None

    def stored(self) -> dict[str, Any]:
        """As JSON keeps it: what was said, and nothing else."""
        return self.model_dump(mode="json", exclude_unset=True)

    @property
    def first_rule(self) -> First | None:
        """Dataset and rule that the problem is named by; None where there is none, e.g. for drift."""
        if self.first:
            return self.first
        return First(table=self.rules[0].table, rule=self.rules[0].rule) if self.rules else None
