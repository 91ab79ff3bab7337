"""A simulation as lines for a terminal, and as a pull request's comment. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dataops.facts.text import counted, money, number
from dataops.lab.simulate import NOTHING, Simulation


def lines(found: Simulation, *, markdown: bool) -> Iterator[str]:
    """What the changed rules would have done: a sentence, then a table for each thing that differs."""
    yield ("### " if markdown else "") + headline(found)
    if found.rules or found.checkpoints:
        yield ""
        yield from _table(
            ("rule", "dataset", "change", "severity", "rows before", "rows after"), _rules(found), markdown
        )
        yield from (f"- {text}" for text in found.checkpoints)
    if found.trials:
        yield ""
        yield from _table(
            ("batch", "verdict", "rows held", "rules with another outcome", "seconds"), _trials(found), markdown
        )
    if effects := _effects(found):
        yield ""
        yield from _table(
            ("batch", "control total", "received", "held before", "held after", "effect"), effects, markdown
        )
    yield ""
    yield "Judged on a copy, against what is published now; nothing was written."


def headline(found: Simulation) -> str:
    """One sentence: `Would have blocked 2 of 10 batches (now 1); 41 rows quarantined (now 12)`."""
    trials = found.trials
    if not trials:
        return "No kept batch could be judged: raw holds none."
    blocked, now = sum(t.after.blocked for t in trials), sum(t.before.blocked for t in trials)
    held, held_now = (sum(getattr(t, s).verdict.rows_held for t in trials) for s in ("after", "before"))
    text = f"Would have blocked {blocked} of {counted(len(trials), 'batch', 'batches')} (now {now});"
    text += f" {counted(held, 'row')} quarantined (now {number(held_now)})"
    kinds = [k for k in ("weakened", "removed", "tightened", "added") if any(c.how == k for c in found.rules)]
    parts = [f"{sum(c.how == kind for c in found.rules)} {kind}" for kind in kinds]
    ending = f"; rules {', '.join(parts)}." if parts else "."
    return ("Nothing changes. " if not found.changed else "") + text + ending


def _table(names: Sequence[str], rows: list[tuple[str, ...]], markdown: bool) -> Iterator[str]:
    if not rows:
        return
    if markdown:
        yield f"| {' | '.join(names)} |"
        yield f"|{'---|' * len(names)}"
        yield from (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows)
        return
    widths = [max(len(row[n]) for row in [tuple(names), *rows]) for n in range(len(names))]
    for row in (tuple(name.upper() for name in names), *rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _rules(found: Simulation) -> list[tuple[str, ...]]:
    return [
        (
            f"{c.rule.id} {c.rule.says}",
            c.rule.table,
            c.how,
            c.rule.severity
            if c.severity_before in {None, c.rule.severity}
            else f"{c.severity_before} -> {c.rule.severity}",
            number(c.failing_before),
            number(c.failing_after),
        )
        for c in found.rules
    ]


def _trials(found: Simulation) -> list[tuple[str, ...]]:
    return [
        (
            t.batch_id,
            _arrow(t.before.verdict.name, t.after.verdict.name),
            _arrow(number(t.before.verdict.rows_held), number(t.after.verdict.rows_held)),
            ", ".join(t.differing),
            f"{t.before.seconds:.1f} -> {t.after.seconds:.1f}",
        )
        for t in found.trials
    ]


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def _effects(found: Simulation) -> list[tuple[str, ...]]:
    """Control totals that would be held or released."""
    rows: list[tuple[str, ...]] = []
    for t in found.trials:
        for name, received in t.received.items():
            before, after = t.before.held.get(name, NOTHING), t.after.held.get(name, NOTHING)
            if before != after:
                effect = f"{money(abs(after - before))} {'held' if after > before else 'released'}"
                rows.append((t.batch_id, name, money(received), money(before), money(after), effect))
    return rows
