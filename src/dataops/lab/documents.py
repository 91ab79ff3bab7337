"""What the lab's commands answer, as documents: probes, detection scores, simulations."""

from __future__ import annotations

from typing import ClassVar, Self

from dataops.facts.document import Amount, Document, Part
from dataops.lab import doctor
from dataops.lab.corruptions.score import Finding, Score
from dataops.lab.simulate import NOTHING, Simulation, Trial
from dataops.lab.suggest.run import Suggested, Suggestion
from dataops.lab.suggest.writing import to_paste
from dataops.ledger.enums import VerdictName


class Probed(Part):
    """One thing that was looked at."""

    level: doctor.Level
    subject: str
    fact: str
    advice: str


class DoctorDocument(Document):
    """What was probed."""

    document: ClassVar[str] = "doctor"
    findings: tuple[Probed, ...]
    conclusion: str
    exit_code: int


class SourceTestDocument(Document):
    """What was found about a source."""

    document: ClassVar[str] = "source-test"
    source: str
    findings: tuple[Probed, ...]
    conclusion: str
    exit_code: int


class Count(Part):
    """Corruptions that were planted, and those that a rule noticed."""

    planted: int
    detected: int

    @classmethod
    def of(cls, findings: list[Finding]) -> Self:
        return cls(planted=len(findings), detected=sum(f.detected for f in findings))


class DatasetScore(Part):
    """Of one dataset."""

    dataset: str
    row: Count
    set: Count


class GroupScore(Part):
    """The detection score of one group."""

    group: str
    row: Count
    set: Count
    datasets: tuple[DatasetScore, ...]
    undetected: tuple[str, ...]
    needs_history: tuple[str, ...]
    """undetected, because only a comparison with earlier batches could notice them"""
    untripped: tuple[str, ...]
    """rules that nothing trips"""
    false_alarms: tuple[str, ...]
    """critical rules that clean rows break"""

    @classmethod
    def of(cls, score: Score) -> Self:
        tables = sorted({f.corruption.table for f in score.findings})
        return cls(
            group=score.group,
            row=Count.of(score.of("row")),
            set=Count.of(score.of("set")),
            datasets=tuple(
                DatasetScore(dataset=t, row=Count.of(score.of("row", t)), set=Count.of(score.of("set", t)))
                for t in tables
            ),
            undetected=_missed([*score.of("row"), *score.of("set")]),
            needs_history=_missed([*score.of("row", history=True), *score.of("set", history=True)]),
            untripped=score.untripped,
            false_alarms=score.false_alarms,
        )


def _missed(findings: list[Finding]) -> tuple[str, ...]:
    return tuple(f.corruption.name for f in findings if not f.detected)


class ScoreDocument(Document):
    """How many planted corruptions the rules find."""

    document: ClassVar[str] = "gate-score"
    groups: tuple[GroupScore, ...]


class RuleChanged(Part):
    """How a rule differs."""

    rule: str
    dataset: str
    change: str
    severity_before: str | None
    severity_after: str | None
    failing_before: int
    failing_after: int


class ControlHeld(Part):
    """A control total of a batch, exact."""

    total: str
    received: Amount
    held_before: Amount
    held_after: Amount


class BatchTried(Part):
    """A batch under the rules as they are, and as they would be."""

    batch: str
    group: str
    verdict_before: VerdictName
    verdict_after: VerdictName
    held_before: int
    held_after: int
    rules: tuple[str, ...]
    """rules with another outcome"""
    controls: tuple[ControlHeld, ...]

    @classmethod
    def of(cls, trial: Trial) -> Self:
        before, after = trial.before, trial.after
        return cls(
            batch=trial.batch_id,
            group=trial.group,
            verdict_before=before.verdict.name,
            verdict_after=after.verdict.name,
            held_before=before.verdict.rows_held,
            held_after=after.verdict.rows_held,
            rules=tuple(trial.differing),
            controls=tuple(
                ControlHeld(
                    total=name,
                    received=f"{value:f}",
                    held_before=f"{before.held.get(name, NOTHING):f}",
                    held_after=f"{after.held.get(name, NOTHING):f}",
                )
                for name, value in trial.received.items()
            ),
        )


class SimulationDocument(Document):
    """What changed rules would have done."""

    document: ClassVar[str] = "gate-simulation"
    changed: bool
    headline: str
    rules: tuple[RuleChanged, ...]
    checkpoints: tuple[str, ...]
    batches: tuple[BatchTried, ...]

    @classmethod
    def of(cls, simulation: Simulation, headline: str) -> Self:
        return cls(
            changed=simulation.changed,
            headline=headline,
            rules=tuple(
                RuleChanged(
                    rule=c.rule.id,
                    dataset=c.rule.table,
                    change=c.how,
                    severity_before=c.severity_before,
                    severity_after=None if c.how == "removed" else c.rule.severity,
                    failing_before=c.failing_before,
                    failing_after=c.failing_after,
                )
                for c in simulation.rules
            ),
            checkpoints=simulation.checkpoints,
            batches=tuple(map(BatchTried.of, simulation.trials)),
        )


class DamageNoticed(Part):
    """Damage that a suggested rule notices and that nothing notices today."""

    damage: str
    rows: int
    """of those that were struck"""


class SuggestedRule(Part):
    """A rule that the data propose, and what it is worth."""

    rule: str
    """the id that it would have"""
    kind: str
    says: str
    columns: tuple[str, ...]
    rows: int
    """published rows that it speaks about; none of them breaks it"""
    fired: int
    """kept batches in which it would have fired"""
    rows_fired: int
    """rows that it would have named in them"""
    milliseconds: float | None
    """its query over all published rows; none for what is counted anyway"""
    notices: int
    """kinds of planted damage that it notices"""
    new: tuple[DamageNoticed, ...]
    """of those, what nothing notices today"""

    @classmethod
    def of(cls, rule: Suggested) -> Self:
        return cls(
            rule=rule.rule,
            kind=rule.proposal.kind,
            says=rule.proposal.says,
            columns=rule.proposal.columns,
            rows=rule.proposal.rows,
            fired=rule.fired,
            rows_fired=rule.rows_fired,
            milliseconds=None if rule.milliseconds is None else round(rule.milliseconds, 1),
            notices=rule.notices,
            new=tuple(DamageNoticed(damage=name, rows=rows) for name, rows in rule.new.items()),
        )


class SuggestDocument(Document):
    """Rules that are suggested for a dataset; nothing was changed."""

    document: ClassVar[str] = "suggest"
    dataset: str
    rows: int
    """that are published"""
    batches: int
    """kept ones, on which the rules were tried"""
    sentence: str
    rules: tuple[SuggestedRule, ...]
    """what notices most that is new first"""
    restated: int
    """rules that were left out: others say as much about the same columns"""
    untrue: int
    """rules that were left out: published rows break them"""
    yaml: str
    """to paste, with the file and key above each part"""

    @classmethod
    def of(cls, found: Suggestion, *, only_new: bool = False) -> Self:
        shown = [s for s in found.suggested if s.new or not only_new]
        new = sum(bool(s.new) for s in found.suggested)
        many = len(found.suggested)
        return cls(
            dataset=found.dataset.name,
            rows=found.rows,
            batches=found.batches,
            sentence=(
                f"{found.rows:,} rows of {found.dataset.published_name} suggest {many or 'no'}"
                f" rule{'' if many == 1 else 's'}; {new or 'none'} of them notice{'s' if new == 1 else ''}"
                " damage that nothing notices today."
            ),
            rules=tuple(map(SuggestedRule.of, shown)),
            restated=found.restated,
            untrue=found.untrue,
            yaml="\n".join(to_paste(found.dataset, {s.rule: s.proposal for s in shown})),
        )
