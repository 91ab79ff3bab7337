"""The page of one incident as text: why it matters, what is held, what to do, evidence, pattern, history.

`read` collects the facts from the ledger, `lines` writes them; a section without facts is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from dataops.cli.listing import Row, window
from dataops.cli.text import age, counted, day, iso, labelled, money, stamp
from dataops.ledger import incidents
from dataops.ledger import tables as ledger

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from dataops.declared.catalog import Catalog

LABEL = 18
HISTORY = 30
OUTCOMES = {"passed": "▁", "warned": "▄", "failed": "█", "error": "?"}


@dataclass(frozen=True)
class Page:
    """What is known of one incident: `results` of its batch that failed, `last` outcomes of its rule, oldest first."""

    incident: Row
    batch: Row
    results: tuple[Row, ...]
    last: tuple[str, ...]
    history: tuple[Row, ...]
    before: tuple[Row, ...]

    @property
    def name(self) -> str:
        return str(self.incident["incident_id"])

    @property
    def detail(self) -> Row:
        return dict(self.incident["detail"])

    @property
    def rule(self) -> str | None:
        """The rule that failed first; None where there is none, e.g. for drift."""
        first = self.detail.get("first") or next(iter(self.detail.get("rules") or ()), None)
        return first["rule"] if first else None


def read(connection: Connection, incident: Row) -> Page:
    """Everything that the page shows."""
    b, c = ledger.batches, ledger.check_results
    batch = ledger.one(connection, sa.select(b).where(b.c.seq == incident["batch"])) or {}
    found = sa.select(c).where((c.c.batch == incident["batch"]) & c.c.outcome.in_(["failed", "error"]))
    page = Page(
        incident,
        batch,
        tuple(ledger.rows(connection, found.order_by(c.c.table_name, c.c.rule_id))),
        (),
        tuple(incidents.history(connection, incident["incident_id"])),
        tuple(incidents.before(connection, incident)),
    )
    last = sa.select(c.c.outcome).where(c.c.rule_id == page.rule).order_by(c.c.batch.desc()).limit(HISTORY)
    outcomes = tuple(str(row[0]) for row in connection.execute(last))[::-1]
    return Page(page.incident, page.batch, page.results, outcomes, page.history, page.before)


def document(page: Page) -> Row:
    """The fields that only `incidents show --json` has."""
    events = [{"at": iso(e["happened_at"]), **{k: e[k] for k in ("who", "action", "text")}} for e in page.history]
    before = [
        {"incident": i["incident_id"], "state": i["state"], "reason": i["resolution_reason"]} for i in page.before
    ]
    return {"batch": page.batch.get("batch_id"), "detail": page.detail, "history": events, "before": before}


def lines(catalog: Catalog, page: Page) -> list[str]:
    """The page, at most 80 columns except for commands."""
    sections = [_head(page), _why(catalog, page), _held(page), _waiting(catalog, page), _ended(page)]
    found = [line for section in sections for line in section]
    for title, section in (
        ("What to do", _to_do(catalog, page)),
        ("Evidence", _evidence(page)),
        ("Pattern", _pattern(page)),
        ("History", _history(page)),
        ("Before", _before(page)),
    ):
        if body := list(section):
            found += ["", title, *(f"  {line}".rstrip() for line in body)]
    return found


def _head(page: Page) -> Iterator[str]:
    r = page.incident
    shape = {"open": "■", "acknowledged": "■", "waived": "◪"}.get(r["state"], "●")
    since = f"{day(r['opened_at'])} {r['opened_at']:%H:%M} UTC ({age(ledger.now() - r['opened_at'])})"
    yield f"{page.name}   {shape} {r['state']} · {r['kind'] or 'held'} · {r['group_name']} · since {since}"
    yield f"{'':<11}owner: {r['assignee'] or 'none'} · seen {counted(r['times'], 'time')}"
    yield from labelled("", r["sentence"][:1].upper() + r["sentence"][1:], 0)


def _why(catalog: Catalog, page: Page) -> Iterator[str]:
    rules = {rule.id: rule for group in catalog.groups.values() for rule in group.rules}
    rule = rules.get(page.rule or "")
    if rule:
        yield from labelled("Why it matters", f"{rule.why} ({rule.id})", LABEL)
    for text in page.detail.get("reasons", []):
        yield from labelled("Because", text, LABEL)


def _held(page: Page) -> Iterator[str]:
    detail, batch = page.detail, page.batch
    if page.incident["kind"] == "error":
        yield from labelled("What is held", "the whole batch: it could not be judged; nothing is lost", LABEL)
    elif "rows_received" in detail:
        paid = detail.get("money") or {}
        worth = f", USD {money(paid['held'])} of {money(paid['received'])}" if paid else ""
        share = f"{detail['rows_held']:,} of {detail['rows_received']:,} rows{worth}; nothing is lost"
        yield from labelled("What is held", share, LABEL)
    if batch:
        yield from labelled("Batch", f"{batch['batch_id']} from {batch['source']}", LABEL)


def _waiting(catalog: Catalog, page: Page) -> Iterator[str]:
    from dataops.facts.status import in_order, inputs

    stuck = {page.incident["group_name"]}
    for name in in_order(catalog):
        if catalog.groups[name].layer != "raw" and inputs(catalog, name) & stuck:
            stuck.add(name)
    behind = [name for name in in_order(catalog) if name in stuck - {page.incident["group_name"]}]
    if behind and page.incident["state"] in incidents.OPEN and page.incident["kind"] != "anomaly":
        yield from labelled("Who waits", ", ".join(behind), LABEL)


def _ended(page: Page) -> Iterator[str]:
    r = page.incident
    if r["state"] not in incidents.OPEN:
        reason = f"{r['resolution_reason']}: " if r["resolution_reason"] else ""
        label = "Waived" if r["state"] == "waived" else "Solved"
        yield from labelled(label, f"{stamp(r['resolved_at'])} UTC, {reason}{r['resolution']}", LABEL)
        yield from labelled("", f'dataops incidents reopen {page.name} --comment "…"', LABEL)


def _to_do(catalog: Catalog, page: Page) -> Iterator[str]:
    r, batch = page.incident, page.batch
    if r["state"] not in incidents.OPEN:
        return
    steps = list(_ways(catalog, page, f"{r['group_name']} --batch {batch.get('batch_id', '…')}"))
    for letter, (what, command) in zip("ABCDEFG", steps, strict=False):
        yield f"{letter}  {what}"
        yield f"     {command}"


def _ways(catalog: Catalog, page: Page, named: str) -> Iterator[tuple[str, str]]:
    """(what it does, the command), for what is wrong here."""
    group, kind = page.incident["group_name"], page.incident["kind"]
    if kind == "warehouse":
        yield from _after_damage(page)
        return
    yield "Source is wrong: fix it, then", _again(page)
    rule = next((x for g in catalog.groups.values() for x in g.rules if x.id == page.rule), None)
    if kind == "drift":
        for file in page.detail.get("files", []):
            yield f"The source is right: amend {file}, then", _again(page)
    elif kind != "anomaly":
        yield f"Rule is wrong: edit {rule.file if rule else 'it'}, then", f"dataops gate {named}"
    if kind in {"held", None}:
        yield "Publish the good rows now:", f'dataops publish {named} --quota 40% --reason "…"'
        if rule:
            waiver = f'dataops waivers add {rule.id} --group {group} --until … --reason "…"'
            yield "Accept for now (it expires):", waiver
    usual = "expected-change" if kind == "anomaly" else "false-positive"
    yield "Not a problem:", f'dataops incidents resolve {page.name} --reason {usual} --comment "…"'


def _after_damage(page: Page) -> Iterator[tuple[str, str]]:
    """What is left to do when the warehouse's file was healed or restored."""
    yield "See that the ledger and the rows hold:", "dataops publications verify"
    if "backup" in page.detail:
        yield "Load again what came after the backup, for every group, then build:", "dataops load GROUP"
    done = 'dataops incidents resolve {} --reason source-fixed --comment "…"'
    yield "Done:", done.format(page.name)


def _again(page: Page) -> str:
    batch, group = page.batch, page.incident["group_name"]
    if batch.get("source") == "published layers":
        return "dataops build"
    return f"dataops load {group}" + (f" --window {window(batch)}" if batch.get("window_start") else "")


def _evidence(page: Page) -> Iterator[str]:
    for item in page.detail.get("rules", []):
        result = next((r for r in page.results if r["rule_id"] == item["rule"]), {})
        rows = f"{item['failing']:,} rows" if item["failing"] is not None else f"observed {item['observed']}"
        of = f" of {result['checked']:,}" if item["failing"] is not None and result.get("checked") else ""
        engine = f"; engine {result['engine']}" if result else ""
        yield from labelled(item["rule"], f"{item['table']}: {item['says']}; {rows}{of}{engine}", LABEL - 2)
        for sample in (result.get("sample") or [])[:3]:
            yield from labelled("", "e.g. " + ", ".join(f"{k} {v}" for k, v in sample.items()), LABEL - 2)
    yield from page.detail.get("diff", [])
    if gone := page.detail.get("gone"):
        yield from labelled("gone", ", ".join(gone), LABEL - 2)
    for item in page.detail.get("findings", []):
        yield from labelled(item["metric"], item["says"], LABEL + 4)
    if len(page.last) > 1:
        marks = "".join(OUTCOMES.get(outcome, "?") for outcome in page.last)
        yield from labelled("last results", f"{marks} ({page.rule}, newest last)", LABEL - 2)
    if page.detail.get("rows_held"):
        yield from labelled("rows", f"dataops quarantine list {page.incident['group_name']}", LABEL - 2)


def _pattern(page: Page) -> Iterator[str]:
    for item in page.detail.get("pattern", []):
        value = "nothing" if item["value"] is None else item["value"]
        good = f"{item['good']:,} of {item['of_good']:,} others"
        says = f"{item['bad']:,} of {item['of_bad']:,} failing rows have {value}; {good}"
        yield from labelled(item["column"], says, LABEL + 4)


def _history(page: Page) -> Iterator[str]:
    for event in page.history:
        text = f": {event['text']}" if event["text"] else ""
        yield from labelled(stamp(event["happened_at"]), f"{event['action']} by {event['who']}{text}", LABEL)


def _before(page: Page) -> Iterator[str]:
    if page.before:
        named = ", ".join(incidents.how_it_ended(i) for i in page.before[:5])
        yield from labelled("", f"the same cause {counted(len(page.before), 'time')} before: {named}", 0)
