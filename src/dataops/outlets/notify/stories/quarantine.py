"""A publication that kept rows back: how many, under which rules, and when they come back."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from dataops.facts import publication as publications
from dataops.facts import quarantine
from dataops.facts.publication import PublicationDocument
from dataops.facts.text import counted, percent
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.story import Fact, Link, Para, Story, Table, table_of

SHOWN = 10


def story(desk: Desk, publication_id: str) -> Story:
    """Of one publication, with what waits in its group now."""
    page = publications.shown(desk.work, publication_id)
    held, received = _sum(page, "quarantined"), _sum(page, "received")
    share = f"{counted(held, 'row')} of {received:,} ({percent(held / received if received else 0)})"
    worth = _money(desk, page)
    kept = f"{share}{worth} {'waits' if held == 1 else 'wait'} in quarantine."
    name = page.group[:1].upper() + page.group[1:]
    title = f"◪ {name} published; {counted(held, 'row')} kept back"
    batch = (Link("Batch and rules", desk.site(f"batches/{page.batch}.html")),) if page.batch else ()
    return Story(
        sentence=f"{title}. {kept} {page.publication}",
        title=title,
        paras=(Para(kept, f"{page.publication} is live."),),
        facts=(Fact("Owner", desk.owner(page.group), is_person=True), Fact("Published", page.published_at)),
        table=_rules(desk, page),
        notes=("They come back by themselves when they pass, or when they are delivered again.",),
        links=batch,
        run=f"dataops quarantine replay {page.group} --dry-run",
        mention=None,
    )


def _sum(page: PublicationDocument, name: str) -> int:
    return sum(getattr(dataset, name) for dataset in page.datasets)


def _money(desk: Desk, page: PublicationDocument) -> str:
    """`, EUR 4,812.55 of 3,460,129.77 (0.1 %)`; nothing where the group has no money."""
    declared = desk.work.catalog.groups.get(page.group)
    if declared is None or declared.checkpoint.money is None:
        return ""
    table, _, column = declared.checkpoint.money.partition(".")
    own = next((dataset for dataset in page.datasets if dataset.table_name == table), None)
    held = Decimal((own.quarantined_controls or {}).get(column) or 0) if own else Decimal(0)
    received = Decimal((own.controls or {}).get(column) or 0) if own else Decimal(0)
    if not held or not received:
        return ""
    return f", {desk.money(str(held))} of {desk.money(str(received))} ({percent(float(held / received))}),"


def _rules(desk: Desk, page: PublicationDocument) -> Table | None:
    """Rows of the batch that still wait, by the rules that they broke."""
    says = {rule.id: rule.says for group in desk.work.catalog.groups.values() for rule in group.rules}
    rows: Counter[str] = Counter()
    for item in quarantine.listed(desk.work, page.group).quarantine:
        if item.batch == page.batch:
            rows[item.rules or "held with another row"] += item.rows
    lines = [(rules, says.get(rules.partition(",")[0], ""), f"{number:,}") for rules, number in rows.most_common()]
    return table_of(("rules", "says", "rows"), lines, SHOWN)
