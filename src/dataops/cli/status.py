"""The command `status`: the sentence first, then one line per group; bad data is no failure of the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.screen import Screen
from dataops.facts.text import WIDTH, age, counted, day, labelled, stamp

if TYPE_CHECKING:
    from dataops.facts.status import GroupFacts, ReadersCopy, Status
    from dataops.ledger.workspace import Workspace


def status(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document (docs/reference/json/)")] = False,
    check: Annotated[bool, typer.Option("--check", help="exit 1 if anything is held; for cron and CI")] = False,
) -> int:
    """Say whether the figures can be trusted: what is held, as of when they stand, who must act.

    Examples:  dataops status  |  dataops status --json  |  dataops status --check && make reports
    """
    from dataops.facts import status as facts
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    work = open_workspace()
    found = facts.read(work)
    if as_json:
        screen.document(found)
    else:
        screen.lines(lines(found, place(work)))
        if found.next:
            screen.hint(f"\nNext: {found.next}")
    return 1 if check and found.held else 0


def place(work: Workspace) -> str:
    """The warehouse, its size where it is a file, and the source."""
    paths, name = work.settings.paths, work.warehouse.name
    if work.warehouse.dialect == "duckdb":
        from dataops.warehouse.duckdb import file_of

        file = file_of(work.settings.warehouse_url)
        size = f", {file.stat().st_size / 2**20:,.0f} MB" if file.exists() else ", not there yet"
        name = f"duckdb {paths.shown(file)}{size}"
    return f"{name}; source {work.settings.source_url or 'found when loading'}"


def lines(found: Status, where: str) -> list[str]:
    """The page, at most 80 columns wide where ids allow."""
    from dataops.facts.sentence import SHAPES
    from dataops.ledger.receipts import brief

    waiting = found.quarantine
    held = f"{waiting.rows:,} rows" + (f", oldest {age(found.as_of - waiting.oldest)}" if waiting.oldest else "")
    return [
        *labelled(f"{SHAPES[found.state]} ", found.sentence, 2),
        *(line for text in _details(found) for line in labelled("", text, 2)),
        "",
        *_table(found),
        "",
        *labelled("  Warnings", _warnings(found), 14),
        *labelled("  Quarantine", held if waiting.rows else "no rows", 14),
        *labelled("  Waivers", _waivers(found), 14),
        *labelled("  Outbox", _outbox(found), 14),
        *(labelled("  Lineage", text, 14) if (text := _lineage(found)) else []),
        *labelled("  Receipts", f"head {brief(found.receipt)}" if found.receipt else "none yet", 14),
        *labelled("  Warehouse", where, 14),
        *(labelled("  Readers", _lag(found.readers), 14) if found.readers and found.readers.behind else []),
    ]


def _lag(copy: ReadersCopy) -> str:
    stands = f"as of {copy.publication}" if copy.publication else "not there"
    behind = counted(copy.behind, "publication")
    return f"published.duckdb is {stands}, {behind} behind; run: dataops warehouse refresh"


def _outbox(found: Status) -> str:
    told = found.outbox
    since = f", oldest {age(found.as_of - told.overdue_since)}" if told.overdue_since else ""
    parked = f", {counted(told.parked, 'message')} refused: dataops outbox list" if told.parked else ""
    return f"{told.waiting} waiting{since}{parked}"


def _lineage(found: Status) -> str:
    """Empty while all goes well, or nobody is told."""
    told = found.lineage
    stuck = f"not taken, oldest {age(found.as_of - told.stuck_since)}" if told.stuck_since else ""
    parked = f"{counted(told.parked, 'event')} refused" if told.parked else ""
    said = ", ".join(filter(None, (stuck, parked)))
    return f"{said}: dataops lineage status" if said else ""


def _waivers(found: Status) -> str:
    """How many, and what ends first."""
    active = [waiver for waiver in found.waivers if waiver.state == "in force"]
    asked = len(found.waivers) - len(active)
    parts = [f"{len(active)} in force"] if active else []
    if active:
        first = active[0]
        parts.append(f"{first.waiver} on {first.rule or 'the quota'} ends {stamp(first.until)}")
    return ", ".join(parts + ([f"{asked} waiting for approval"] if asked else [])) or "none"


def _warnings(found: Status) -> str:
    warned = {f.group: f.rules.warned for f in found.groups}
    parts = ", ".join(f"{group} {count}" for group, count in warned.items() if count)
    return f"{counted(sum(warned.values()), 'rule')} warned: {parts}" if parts else "none"


def _details(found: Status) -> list[str]:
    """As of when the figures of what is not well stand, which incidents are open and which reports wait."""
    stand = [
        f"{f.group.capitalize()} figures stand at {day(f.as_of_day)}."
        for f in found.groups
        if f.state in {"held", "late"} and f.as_of_day
    ]
    named = ", ".join(incident.incident for incident in found.incidents)
    reports = ", ".join(found.reports_waiting)
    parts = [*stand, *([f"Open: {named}."] if named else []), *([f"Reports waiting: {reports}."] if reports else [])]
    return [" ".join(parts)] if parts else []


NAMES = ("GROUP", "STATE", "FIGURES AS OF", "PUBLICATION", "RULES", "HELD", "AGE")
TEXTS = 4  # columns that are text, and so stand left


def _table(found: Status) -> list[str]:
    rows = [NAMES, *(_row(facts, found) for facts in found.groups)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(NAMES))]
    gap = "  " if sum(widths) + 2 * len(widths) <= WIDTH else " "
    return ["  " + gap.join(_cell(row[n], n, width) for n, width in enumerate(widths)).rstrip() for row in rows]


def _cell(text: str, position: int, width: int) -> str:
    return text.ljust(width) if position < TEXTS else text.rjust(width)


def _row(facts: GroupFacts, found: Status) -> tuple[str, ...]:
    from dataops.facts.sentence import SHAPES

    rules = facts.rules
    unbroken = rules.passed + rules.warned + rules.waived
    return (
        facts.group,
        f"{SHAPES[facts.state]} {facts.state}",
        _as_of(facts),
        facts.publication or "-",
        f"{unbroken}/{rules.declared}" if facts.verdict else "-",
        f"{facts.rows_held:,}",
        age(found.as_of - facts.confirmed_at) if facts.confirmed_at else "-",
    )


def _as_of(facts: GroupFacts) -> str:
    if facts.as_of_day is None:
        return "-"
    return f"{facts.as_of_day:%Y-%m-%d}" if facts.as_of_is_day else stamp(facts.as_of_day)
