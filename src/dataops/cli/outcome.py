"""What became of a batch, as lines for people: load, gate, policy, and HELD or PUBLISHED. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataops.facts.text import counted, labelled, listed, money, number, percent

if TYPE_CHECKING:
    from dataops.facts.outcome import OutcomeDocument, RuleCounts, RuleOutcome

MAX_RULES = 5


def lines(outcome: OutcomeDocument, currency: str, *, verbose: bool = False) -> list[str]:
    """The report of one batch, at most 80 columns wide."""
    found: list[str] = []
    if outcome.verb != "publish":
        found += _arrival(outcome, currency)
    if outcome.rules:
        found += _gate(outcome, outcome.rules, verbose=verbose)
        found += _policy(outcome, currency)
    return found + _end(outcome)


def _arrival(outcome: OutcomeDocument, currency: str) -> list[str]:
    label = {"build": "build", "gate": "batch"}.get(outcome.verb, "load")
    received = outcome.received
    rows = f"{counted(sum(received.values()), 'row')} in {counted(len(received), 'dataset')}"
    lacking = [f"not built, their inputs are not published: {', '.join(outcome.waiting)}"] if outcome.waiting else []
    brought = f"{currency} {money(outcome.money['received'])}" if outcome.money else ""
    first = f"{label:<9}{outcome.batch:<19} {rows:<29}{brought:>20}".rstrip()
    return [first, *(line for text in lacking for line in labelled("", text))]


def _gate(outcome: OutcomeDocument, rules: RuleCounts, *, verbose: bool) -> list[str]:
    parts = [f"{rules.passed} passed"]
    parts += [f"{rules.warned} warned"] if rules.warned else []
    parts += [f"{rules.waived} waived"] if rules.waived else []
    parts += [f"{rules.failed} failed (critical)"] if rules.failed else []
    parts += [f"{rules.error} could not be judged"] if rules.error else []
    text = f"{counted(rules.declared, 'rule')}: {', '.join(parts)}"
    seconds = "" if outcome.seconds is None else f"{outcome.seconds:.1f} s"
    found = [f"{'gate':<9}{text:<59} {seconds:>10}".rstrip()]
    for result in outcome.failed[:MAX_RULES]:
        found += _rule(result, outcome)
    if len(outcome.failed) > MAX_RULES:
        found += [f"{'':<9}and {len(outcome.failed) - MAX_RULES} more"]
    for result in outcome.warned if verbose else ():
        found += _rule(result, outcome)
    return found


def _rule(result: RuleOutcome, outcome: OutcomeDocument) -> list[str]:
    first, indent = f"{'':<9}{result.rule}  ", 9 + len(result.rule) + 2
    found = labelled(first, f"{result.table}: {result.says}", indent)
    saw = result.problem or _observed(result, outcome)
    example = _sample(result)
    return found + labelled("", f"{saw}{'; e.g. ' + example if example else ''}", indent)


def _observed(result: RuleOutcome, outcome: OutcomeDocument) -> str:
    if result.failing is None:
        return f"observed {result.observed}"
    return f"{number(result.failing)} of {counted(outcome.received.get(result.table, result.failing), 'row')}"


def _sample(result: RuleOutcome) -> str:
    """Keys of the first failing rows; the columns are named once: `order_id 1, line 2; 7, 1; 9, 3`."""
    first = [", ".join(f"{name} {value}" for name, value in row.items()) for row in result.sample[:1]]
    return "; ".join([*first, *(", ".join(str(value) for value in row.values()) for row in result.sample[1:3])])


def _policy(outcome: OutcomeDocument, currency: str) -> list[str]:
    if outcome.verdict == "ERROR":
        return []
    if not outcome.rows_held:
        return labelled("policy", "no rows held back" + (f"; {outcome.reasons[0]}" if outcome.exit_code else ""))
    text = counted(outcome.rows_held, "row") + (
        f" ({outcome.fell:,} of them with their parents)" if outcome.fell else ""
    )
    text += f" of {outcome.rows_received:,}"
    if outcome.money_share is not None:
        text += f", {currency} {money(outcome.money['held'])} = {percent(outcome.money_share)}"
    quota = ", ".join(f"{percent(value)} of {name}" for name, value in outcome.quota.items() if value is not None)
    found = labelled("policy", f"{text}; quota {quota}")
    return found + [line for reason in outcome.reasons for line in labelled("", reason)]


def _end(outcome: OutcomeDocument) -> list[str]:
    stands = f"{outcome.standing} still stands" if outcome.standing else "nothing was published before"
    if outcome.outcome in {"published", "unchanged", "already"}:
        return _published(outcome)
    if outcome.outcome == "error":
        why = f"{outcome.batch} could not be judged; nothing was published or rejected, {stands}."
        return labelled("ERROR", f"{why} {outcome.reasons[0]}")
    if outcome.outcome == "held":
        opened = f" {outcome.incident} is open." if outcome.incident else ""
        return labelled("HELD", f"nothing published; {stands}.{opened}")
    return labelled("PASSED", f"not published yet; {stands}.") if outcome.outcome == "passed" else []


def _published(outcome: OutcomeDocument) -> list[str]:
    stands = outcome.publication or outcome.standing or "what stands"
    if outcome.outcome == "already":
        return labelled("nothing new:", f"{outcome.batch} was published before; {stands} stands.", 13)
    solved = f" {listed(outcome.resolved)} solved." if outcome.resolved else ""
    if outcome.outcome == "unchanged":
        return labelled("nothing new:", f"no row differs from {stands}; nothing was published.{solved}", 13)
    parts = [
        f"{outcome.total(name):,} {name}"
        for name in ("new", "changed", "unchanged", "quarantined", "deleted")
        if outcome.total(name)
    ]
    return labelled("PUBLISHED", f"{outcome.publication}: {', '.join(parts) or 'committed'}.{solved}", 11)


def hints(outcome: OutcomeDocument) -> list[str]:
    """What to look at or to run next."""
    group, batch_id = outcome.group, outcome.batch
    if outcome.outcome == "error":
        return [f"It is safe to run again: dataops gate {group} --batch {batch_id}"]
    if outcome.outcome == "held":
        shown = [f"dataops incidents show {outcome.incident}"] if outcome.incident else []
        return [
            "See:  " + "\n      ".join([*shown, *([f"dataops quarantine list {group}"] if outcome.rows_held else [])])
        ]
    if outcome.incident and outcome.outcome == "published":
        return [f"Published, but unusual. See:  dataops incidents show {outcome.incident}"]
    if outcome.outcome == "passed":
        return [f"Next: dataops publish {group} --batch {batch_id}"]
    return []
