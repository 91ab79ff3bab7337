"""The page of one incident as text: why it matters, what is held, what to do, evidence, pattern, history.

A section without facts is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from dataops.facts.text import age, counted, day, labelled, money, stamp
from dataops.ledger import clock
from dataops.ledger.enums import IncidentKind, IncidentState, Outcome

if TYPE_CHECKING:
    from dataops.facts.incident import IncidentDocument

LABEL = 18
MARKS: Mapping[Outcome, str] = {
    Outcome.PASSED: "▁", Outcome.WARNED: "▄", Outcome.WAIVED: "▄", Outcome.FAILED: "█", Outcome.ERROR: "?",
}  # fmt: skip
SHAPES: Mapping[IncidentState, str] = {
    IncidentState.OPEN: "■", IncidentState.ACKNOWLEDGED: "■", IncidentState.WAIVED: "◪", IncidentState.RESOLVED: "●",
}  # fmt: skip


def lines(page: IncidentDocument, currency: str) -> list[str]:
    """The page, at most 80 columns except for commands."""
    sections = [_head(page), _why(page), _held(page, currency), _waiting(page), _ended(page)]
    found = [line for section in sections for line in section]
    for title, section in (
        ("What to do", _to_do(page)),
        ("Evidence", _evidence(page)),
        ("Pattern", _pattern(page)),
        ("History", _history(page)),
        ("Before", _before(page)),
    ):
        if body := list(section):
            found += ["", title, *(f"  {line}".rstrip() for line in body)]
    return found


def _head(page: IncidentDocument) -> Iterator[str]:
    since = f"{day(page.opened_at)} {page.opened_at:%H:%M} UTC ({age(clock.now() - page.opened_at)})"
    yield f"{page.incident}   {SHAPES[page.state]} {page.state} · {page.kind or 'held'} · {page.group} · since {since}"
    yield f"{'':<11}owner: {page.assignee or 'none'} · seen {counted(page.times, 'time')}"
    yield from labelled("", page.sentence[:1].upper() + page.sentence[1:], 0)


def _why(page: IncidentDocument) -> Iterator[str]:
    if page.why:
        yield from labelled("Why it matters", f"{page.why} ({page.rule})", LABEL)
    for text in page.known.reasons:
        yield from labelled("Because", text, LABEL)


def _held(page: IncidentDocument, currency: str) -> Iterator[str]:
    detail = page.known
    if page.kind is IncidentKind.ERROR:
        yield from labelled("What is held", "the whole batch: it could not be judged; nothing is lost", LABEL)
    elif detail.rows_received is not None:
        paid = detail.money
        worth = f", {currency} {money(paid.held)} of {money(paid.received)}" if paid else ""
        share = f"{detail.rows_held:,} of {detail.rows_received:,} rows{worth}; nothing is lost"
        yield from labelled("What is held", share, LABEL)
    if page.batch:
        yield from labelled("Batch", f"{page.batch} from {page.source}", LABEL)


def _waiting(page: IncidentDocument) -> Iterator[str]:
    if page.waiting:
        yield from labelled("Who waits", ", ".join(page.waiting), LABEL)
    if page.waiting_reports:
        told = f", read by {', '.join(page.waiting_receivers)}" if page.waiting_receivers else ""
        yield from labelled(
            "" if page.waiting else "Who waits", f"reports {', '.join(page.waiting_reports)}{told}", LABEL
        )


def _ended(page: IncidentDocument) -> Iterator[str]:
    if not page.is_open and page.resolved_at:
        reason = f"{page.resolution_reason}: " if page.resolution_reason else ""
        label = "Waived" if page.state is IncidentState.WAIVED else "Solved"
        yield from labelled(label, f"{stamp(page.resolved_at)} UTC, {reason}{page.resolution}", LABEL)
        yield from labelled("", f'dataops incidents reopen {page.incident} --comment "…"', LABEL)


def _to_do(page: IncidentDocument) -> Iterator[str]:
    if not page.is_open:
        return
    for letter, (what, command) in zip("ABCDEFG", _ways(page), strict=False):
        yield f"{letter}  {what}"
        yield f"     {command}"


def _ways(page: IncidentDocument) -> Iterator[tuple[str, str]]:
    """(what it does, the command), for what is wrong here."""
    if page.kind is IncidentKind.WAREHOUSE:
        yield from _after_damage(page)
        return
    named = f"{page.group} --batch {page.batch or '…'}"
    yield "Source is wrong: fix it, then", _again(page)
    if page.kind is IncidentKind.DRIFT:
        for file in page.known.files:
            yield f"The source is right: amend {file}, then", _again(page)
    elif page.kind is not IncidentKind.ANOMALY:
        yield f"Rule is wrong: edit {page.rule_file or 'it'}, then", f"dataops gate {named}"
    if page.kind in {IncidentKind.HELD, None}:
        yield "Publish the good rows now:", f'dataops publish {named} --quota 40% --reason "…"'
        if page.rule_file:
            waiver = f'dataops waivers add {page.rule} --group {page.group} --until … --reason "…"'
            yield "Accept for now (it expires):", waiver
    usual = "expected-change" if page.kind is IncidentKind.ANOMALY else "false-positive"
    yield "Not a problem:", f'dataops incidents resolve {page.incident} --reason {usual} --comment "…"'


def _after_damage(page: IncidentDocument) -> Iterator[tuple[str, str]]:
    """What is left to do when the warehouse's file was healed or restored."""
    yield "See that the ledger and the rows hold:", "dataops publications verify"
    if page.known.backup:
        yield "Load again what came after the backup, for every group, then build:", "dataops load GROUP"
    done = 'dataops incidents resolve {} --reason source-fixed --comment "…"'
    yield "Done:", done.format(page.incident)


def _again(page: IncidentDocument) -> str:
    if page.is_build:
        return f"dataops build {page.group}"
    return f"dataops load {page.group}" + (f" --window {page.window}" if page.window else "")


def _evidence(page: IncidentDocument) -> Iterator[str]:
    for item in page.evidence:
        rows = f"{item.failing:,} rows" if item.failing is not None else f"observed {item.observed}"
        of = f" of {item.checked:,}" if item.failing is not None and item.checked else ""
        engine = f"; engine {item.engine}" if item.engine else ""
        yield from labelled(item.rule, f"{item.table}: {item.says}; {rows}{of}{engine}", LABEL - 2)
        for sample in item.sample[:3]:
            yield from labelled("", "e.g. " + ", ".join(f"{k} {v}" for k, v in sample.items()), LABEL - 2)
    detail = page.known
    yield from detail.diff
    if detail.gone:
        yield from labelled("gone", ", ".join(detail.gone), LABEL - 2)
    for finding in detail.findings:
        yield from labelled(finding.metric, finding.says, LABEL + 4)
    if len(page.last) > 1:
        marks = "".join(MARKS[outcome] for outcome in page.last)
        yield from labelled("last results", f"{marks} ({page.rule}, newest last)", LABEL - 2)
    if detail.rows_held:
        yield from labelled("rows", f"dataops quarantine list {page.group}", LABEL - 2)


def _pattern(page: IncidentDocument) -> Iterator[str]:
    for trait in page.known.pattern:
        value = "nothing" if trait.value is None else trait.value
        good = f"{trait.good:,} of {trait.of_good:,} others"
        says = f"{trait.bad:,} of {trait.of_bad:,} failing rows have {value}; {good}"
        yield from labelled(trait.column, says, LABEL + 4)


def _history(page: IncidentDocument) -> Iterator[str]:
    for step in page.history:
        text = f": {step.text}" if step.text else ""
        yield from labelled(stamp(step.at), f"{step.action} by {step.who}{text}", LABEL)


def _before(page: IncidentDocument) -> Iterator[str]:
    if page.before:
        named = ", ".join(earlier.ended for earlier in page.before[:5])
        yield from labelled("", f"the same cause {counted(len(page.before), 'time')} before: {named}", 0)
