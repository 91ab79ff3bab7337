"""What became of a batch, as lines for people and as a document: load, gate, policy, and HELD or PUBLISHED. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dataops.cli.text import counted, labelled, listed, money, number, percent
from dataops.gate.policy import money_share
from dataops.gate.verdict import RuleResult, Verdict
from dataops.pipeline.publish import Publication

MAX_RULES = 5
CURRENCY = "USD"  # AdventureWorks keeps its books in US dollars
PLACE = 49


@dataclass(frozen=True)
class Outcome:
    """A batch and how far it came; what it did not reach is None. `standing`: the publication that is read now."""

    verb: str
    batch: dict[str, Any]
    received: dict[str, int]
    verdict: Verdict | None = None
    publication: Publication | None = None
    standing: str | None = None
    incident: str | None = None
    quota: dict[str, float | None] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        if self.verdict is None or self.verdict.passed:
            return 0
        return 1 if self.verdict.name == "FAILED" else 3

    @property
    def word(self) -> str:
        """published, unchanged, already, passed, held or error."""
        if self.publication:
            return self.publication.status
        if self.verdict is None:
            return str(self.batch["state"])
        return {"PASSED": "passed", "FAILED": "held", "ERROR": "error"}[self.verdict.name]


def lines(outcome: Outcome, *, verbose: bool = False) -> list[str]:
    """The report of one batch, at most 80 columns wide."""
    found: list[str] = []
    if outcome.verb != "publish":
        found += _arrival(outcome)
    if outcome.verdict:
        found += _gate(outcome, outcome.verdict, verbose=verbose)
        found += _policy(outcome, outcome.verdict)
    return found + _end(outcome)


def _arrival(outcome: Outcome) -> list[str]:
    label = {"build": "build", "gate": "batch"}.get(outcome.verb, "load")
    batch, received = outcome.batch, outcome.received
    rows = f"{counted(sum(received.values()), 'row')} in {counted(len(received), 'dataset')}"
    lacking = [f"not built, their inputs are not published: {', '.join(outcome.waiting)}"] if outcome.waiting else []
    paid = outcome.verdict.money if outcome.verdict else {}
    brought = f"{CURRENCY} {money(paid['received'])}" if paid else ""
    first = f"{label:<9}{batch['batch_id']:<19} {rows:<29}{brought:>20}".rstrip()
    return [first, *(line for text in lacking for line in labelled("", text))]


def _gate(outcome: Outcome, verdict: Verdict, *, verbose: bool) -> list[str]:
    parts = [f"{verdict.count('passed')} passed"]
    parts += [f"{count} warned" for count in [verdict.count("warned")] if count]
    parts += [f"{count} failed (critical)" for count in [verdict.count("failed")] if count]
    parts += [f"{count} could not be judged" for count in [verdict.count("error")] if count]
    text = f"{counted(len(verdict.results), 'rule')}: {', '.join(parts)}"
    seconds = _seconds(outcome.batch) if outcome.verb != "gate" else ""  # judged again: long after it was sealed
    found = [f"{'gate':<9}{text:<59} {seconds:>10}".rstrip()]
    wrong = _worst_first([r for r in verdict.results if r.outcome in {"failed", "error"}])
    for result in wrong[:MAX_RULES]:
        found += _rule(result, outcome.received)
    if len(wrong) > MAX_RULES:
        found += [f"{'':<9}and {len(wrong) - MAX_RULES} more"]
    if verbose:
        for result in (r for r in verdict.results if r.outcome == "warned"):
            found += _rule(result, outcome.received)
    return found


def _worst_first(results: Sequence[RuleResult]) -> list[RuleResult]:
    return sorted(results, key=lambda r: (r.outcome != "error", r.names_rows, -(r.failing or 0), r.rule.id))


def _seconds(batch: dict[str, Any]) -> str:
    if not batch.get("judged_at") or not batch.get("sealed_at"):
        return ""
    spent = (batch["judged_at"] - batch["sealed_at"]).total_seconds()
    return f"{spent:.1f} s"


def _rule(result: RuleResult, received: dict[str, int]) -> list[str]:
    rule = result.rule
    first, indent = f"{'':<9}{rule.id}  ", 9 + len(rule.id) + 2
    found = labelled(first, f"{rule.table}: {rule.says}", indent)
    said = result.problem or _observed(result, received)
    example = _sample(result)
    return found + labelled("", f"{said}{'; e.g. ' + example if example else ''}", indent)


def _observed(result: RuleResult, received: dict[str, int]) -> str:
    if result.failing is None:
        return f"observed {result.observed}"
    return f"{number(result.failing)} of {counted(received.get(result.rule.table, result.failing), 'row')}"


def _sample(result: RuleResult) -> str:
    """Keys of the first failing rows; the columns are named once: `order_id 1, line 2; 7, 1; 9, 3`."""
    first = [", ".join(f"{name} {value}" for name, value in row.items()) for row in result.sample[:1]]
    return "; ".join([*first, *(", ".join(str(value) for value in row.values()) for row in result.sample[1:3])])


def _policy(outcome: Outcome, verdict: Verdict) -> list[str]:
    if verdict.name == "ERROR":
        return []
    if not verdict.rows_held:
        return labelled("policy", "no rows held back" + ("" if verdict.passed else f"; {verdict.reasons[0]}"))
    fell = sum(held.fell for held in verdict.held)
    text = counted(verdict.rows_held, "row") + (f" ({fell:,} of them with their parents)" if fell else "")
    text += f" of {verdict.rows_received:,}"
    share = money_share(verdict.money)
    if share is not None:
        text += f", {CURRENCY} {money(verdict.money['held'])} = {percent(share)}"
    quota = ", ".join(f"{percent(value)} of {name}" for name, value in outcome.quota.items() if value is not None)
    found = labelled("policy", f"{text}; quota {quota}")
    return found + [line for reason in verdict.reasons for line in labelled("", reason)]


def _end(outcome: Outcome) -> list[str]:
    batch_id = outcome.batch["batch_id"]
    stands = f"{outcome.standing} still stands" if outcome.standing else "nothing was published before"
    if outcome.publication:
        return _published(outcome, outcome.publication)
    if outcome.word == "error" and outcome.verdict:
        why = f"{batch_id} could not be judged; nothing was published or rejected, {stands}."
        return labelled("ERROR", f"{why} {outcome.verdict.reasons[0]}")
    if outcome.word == "held":
        opened = f" {outcome.incident} is open." if outcome.incident else ""
        return labelled("HELD", f"nothing published; {stands}.{opened}")
    return labelled("PASSED", f"not published yet; {stands}.") if outcome.word == "passed" else []


def _published(outcome: Outcome, made: Publication) -> list[str]:
    stands = made.publication_id or outcome.standing or "what stands"
    if made.status == "already":
        return labelled("nothing new:", f"{made.batch_id} was published before; {stands} stands.", 13)
    solved = f" {listed(made.resolved)} solved." if made.resolved else ""
    if made.status == "unchanged":
        return labelled("nothing new:", f"no row differs from {stands}; nothing was published.{solved}", 13)
    parts = [
        f"{made.total(name):,} {name}"
        for name in ("new", "changed", "unchanged", "quarantined", "deleted")
        if made.total(name)
    ]
    return labelled("PUBLISHED", f"{made.publication_id}: {', '.join(parts) or 'committed'}.{solved}", 11)


def hints(outcome: Outcome) -> list[str]:
    """What to look at or to run next."""
    batch = outcome.batch
    group, batch_id = batch["group_name"], batch["batch_id"]
    if outcome.word == "error":
        return [f"It is safe to run again: dataops gate {group} --batch {batch_id}"]
    if outcome.word == "held":
        shown = [f"dataops incidents show {outcome.incident}"] if outcome.incident else []
        held = outcome.verdict is not None and outcome.verdict.rows_held
        return ["See:  " + "\n      ".join([*shown, *([f"dataops quarantine list {group}"] if held else [])])]
    if outcome.incident and outcome.word == "published":
        return [f"Published, but unusual. See:  dataops incidents show {outcome.incident}"]
    if outcome.word == "passed":
        return [f"Next: dataops publish {group} --batch {batch_id}"]
    return []


def document(outcome: Outcome) -> dict[str, Any]:
    """The document dataops.batch-outcome/1."""
    verdict, made = outcome.verdict, outcome.publication
    return {
        "schema": "dataops.batch-outcome/1",
        "verb": outcome.verb,
        "group": outcome.batch["group_name"],
        "batch": outcome.batch["batch_id"],
        "outcome": outcome.word,
        "received": outcome.received,
        "verdict": verdict.name if verdict else None,
        "reasons": list(verdict.reasons) if verdict else [],
        "rules": _rule_counts(verdict) if verdict else None,
        "failed": [_failed(r) for r in _worst_first(verdict.results) if r.outcome in {"failed", "error"}]
        if verdict
        else [],
        "rows_held": verdict.rows_held if verdict else None,
        "money": verdict.money if verdict else {},
        "publication": made.publication_id if made else None,
        "counts": [count.as_row(0) | {"controls": dict(count.controls)} for count in made.counts] if made else [],
        "resolved": list(made.resolved) if made else [],
        "standing": outcome.standing,
        "incident": outcome.incident,
        "exit_code": outcome.exit_code,
    }


def _rule_counts(verdict: Verdict) -> dict[str, int]:
    counts = {name: verdict.count(name) for name in ("passed", "warned", "failed", "error")}
    return {"declared": len(verdict.results), **counts}


def _failed(result: RuleResult) -> dict[str, Any]:
    return {
        "rule": result.rule.id,
        "table": result.rule.table,
        "says": result.rule.says,
        "outcome": result.outcome,
        "failing": result.failing,
        "observed": result.observed,
        "problem": result.problem,
        "sample": list(result.sample),
    }
