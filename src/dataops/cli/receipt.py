"""A publication's receipt as a page of text and as a document: counts, what ties, who let it pass, how to check it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataops.cli.text import counted, iso, labelled, listed, number
from dataops.ledger import receipts

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

Row = dict[str, Any]
COUNTS = ("received", "new", "changed", "unchanged", "quarantined")
PARTS = ("published", "unchanged", "quarantined")


@dataclass(frozen=True)
class Receipt:
    """Ledger rows of one publication; `rules` counts its check results by outcome."""

    publication: Row
    datasets: tuple[Row, ...]
    batch: Row | None
    rules: Mapping[str, int]
    anomalies: tuple[str, ...]
    following: str | None


def read(connection: Connection, publication: Row) -> Receipt:
    """Everything that the page of a publication shows."""
    import sqlalchemy as sa

    from dataops.cli.listing import of
    from dataops.ledger import tables as ledger

    p, c, i = ledger.publications.c, ledger.check_results.c, ledger.incidents.c
    number = publication["batch"]
    later = sa.select(p.publication_id).where(
        (p.group_name == publication["group_name"]) & (p.seq > publication["seq"])
    )
    outcomes = sa.select(c.outcome, sa.func.count()).where(c.batch == number).group_by(c.outcome).order_by(c.outcome)
    strange = sa.select(i.incident_id).where((i.batch == number) & (i.kind == "anomaly")).order_by(i.seq)
    return Receipt(
        publication,
        tuple(of(connection, ledger.publication_datasets, "publication", publication["seq"])),
        ledger.one(connection, sa.select(ledger.batches).where(ledger.batches.c.seq == number)),
        {str(outcome): int(count) for outcome, count in connection.execute(outcomes)},
        tuple(str(row[0]) for row in connection.execute(strange)),
        connection.execute(later.order_by(p.seq).limit(1)).scalar(),
    )


def document(shown: Receipt) -> Row:
    """What a publication's document says beyond its ledger row."""
    batch = shown.batch or {}
    keys = ("table_name", *COUNTS, "deleted", "retained", "controls", *(f"{part}_controls" for part in PARTS))
    return {
        "next": shown.following,
        "batch": batch.get("batch_id"),
        "source": batch.get("source"),
        "window_start": iso(batch.get("window_start")),
        "rules": dict(shown.rules),
        "waivers": list(shown.publication["waivers"] or []),
        "anomalies": list(shown.anomalies),
        "datasets": [{key: row[key] for key in keys} | {"ties": receipts.ties(row)} for row in shown.datasets],
    }


def page(shown: Receipt) -> list[str]:
    """The receipt in at most 80 columns, as far as ids allow."""
    p = shown.publication
    neighbours = f"previous {p['previous'] or 'none'} · next {shown.following or 'none'}"
    return [
        f"RECEIPT {p['publication_id']:<30}  {neighbours}",
        *labelled("", _made(shown), 0),
        "",
        *_table(shown.datasets),
        "",
        *labelled("", _judged(shown), 0),
        *(line for waiver in p["waivers"] or () for line in _waiver(waiver)),
        f"sha256 {p['receipt'] or 'none: published by a release without receipts'}",
        f"  of this record and of {receipts.brief(p['previous_receipt'])} (the publication before it)",
    ]


def _made(shown: Receipt) -> str:
    p, batch = shown.publication, shown.batch
    moment = p["published_at"]
    said = f"Published {moment.day} {moment:%B %Y %H:%M:%S} UTC"
    if batch is None:
        return f"{said} · {p['kind']} · reason: {p['reason']}"
    return f"{said} · batch {batch['batch_id']} · window {_window(batch)} · source {batch['source']}"


def _window(batch: Row) -> str:
    start, end = batch["window_start"], batch["window_end"]
    if start is None:
        return "whole" if end is None else f"until {end:%Y-%m-%d}"
    return "[" + ", ".join(b.isoformat().removesuffix("T00:00:00") for b in (start, end)) + ")"


def _table(datasets: Sequence[Row]) -> list[str]:
    width = max([len(row["table_name"]) for row in datasets] + [7])
    lines = [f" {'dataset':<{width}}" + "".join(f"{name:>12}" for name in COUNTS)]
    for row in datasets:
        figures = "".join(f"{number(row[name]):>12}" for name in COUNTS)
        lines.append(f" {row['table_name']:<{width}}{figures}  {'ties' if receipts.ties(row) else 'DOES NOT TIE'}")
        lines += [line for name in row["controls"] for line in labelled("   " + name, _total(row, name), 20)]
        if row["deleted"] or row["retained"]:
            retained = "; kept though gone at the source " + number(row["retained"]) if row["retained"] else ""
            lines.append(f"   deleted {number(row['deleted'])}{retained}")
    return lines


def _total(row: Row, name: str) -> str:
    if row["published_controls"] is None:
        return f"{row['controls'][name]}"
    split = " + ".join(f"{part} {row[f'{part}_controls'].get(name, '0')}" for part in PARTS)
    return f"{row['controls'][name]} = {split}"


def _judged(shown: Receipt) -> str:
    p = shown.publication
    outcomes = listed([f"{count} {outcome}" for outcome, count in shown.rules.items()])
    rules = counted(sum(shown.rules.values()), "rule") + (f" ({outcomes})" if outcomes else "")
    judged = f"Judged by {rules}" if p["batch"] is not None else "Judged when it was first published"
    waivers = counted(len(p["waivers"]), "waiver") if p["waivers"] else "waivers none"
    anomalies = ", ".join(shown.anomalies) or "none"
    short = receipts.brief(p["rules_hash"])
    return f"{judged}, hash {short} · {p['verdict']} · {waivers} · anomalies {anomalies}"


def _waiver(waiver: Mapping[str, Any]) -> list[str]:
    people = " and ".join(str(waiver[n]) for n in ("owner", "approver") if waiver.get(n))
    rule = waiver.get("rule_id") or "the quota"
    said = f"on {rule}, by {people}, until {waiver.get('until')}: {waiver.get('reason')}"
    return labelled(f"  {waiver.get('waiver_id')}", said, 12)
