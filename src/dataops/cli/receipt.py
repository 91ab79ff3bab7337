"""A publication's receipt as a page of text: counts, what ties, who let it pass, how to check it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from dataops.facts.text import counted, labelled, listed, number
from dataops.ledger.receipts import brief

if TYPE_CHECKING:
    from dataops.facts.publication import Allowed, DatasetCounts, PublicationDocument

COUNTS = ("received", "new", "changed", "unchanged", "quarantined")


def page(shown: PublicationDocument) -> list[str]:
    """The receipt in at most 80 columns, as far as ids allow."""
    neighbours = f"previous {shown.previous or 'none'} · next {shown.next or 'none'}"
    return [
        f"RECEIPT {shown.publication:<30}  {neighbours}",
        *labelled("", _made(shown), 0),
        "",
        *_table(shown.datasets),
        "",
        *labelled("", _judged(shown), 0),
        *(line for waiver in shown.waivers for line in _waiver(waiver)),
        f"sha256 {shown.receipt or 'none: published by a release without receipts'}",
        f"  of this record and of {brief(shown.previous_receipt)} (the publication before it)",
    ]


def _made(shown: PublicationDocument) -> str:
    moment = shown.published_at
    when = f"Published {moment.day} {moment:%B %Y %H:%M:%S} UTC"
    if shown.batch is None:
        return f"{when} · {shown.kind} · reason: {shown.reason}"
    window = _window(shown.window_start, shown.window_end)
    return f"{when} · batch {shown.batch} · window {window} · source {shown.source}"


def _window(start: datetime | None, end: datetime | None) -> str:
    if start is None or end is None:
        return "whole" if end is None else f"until {end:%Y-%m-%d}"
    return "[" + ", ".join(b.isoformat().removesuffix("T00:00:00") for b in (start, end)) + ")"


def _table(datasets: Sequence[DatasetCounts]) -> list[str]:
    width = max([len(row.table_name) for row in datasets] + [7])
    lines = [f" {'dataset':<{width}}" + "".join(f"{name:>12}" for name in COUNTS)]
    for row in datasets:
        figures = "".join(f"{number(getattr(row, name)):>12}" for name in COUNTS)
        lines.append(f" {row.table_name:<{width}}{figures}  {'ties' if row.ties else 'DOES NOT TIE'}")
        lines += [line for name in row.controls for line in labelled("   " + name, _total(row, name), 20)]
        if row.deleted or row.retained:
            retained = "; kept though gone at the source " + number(row.retained) if row.retained else ""
            lines.append(f"   deleted {number(row.deleted)}{retained}")
    return lines


def _total(row: DatasetCounts, name: str) -> str:
    parts = {
        "published": row.published_controls,
        "unchanged": row.unchanged_controls,
        "quarantined": row.quarantined_controls,
    }
    if row.published_controls is None:
        return f"{row.controls[name]}"
    split = " + ".join(f"{part} {(totals or {}).get(name, '0')}" for part, totals in parts.items())
    return f"{row.controls[name]} = {split}"


def _judged(shown: PublicationDocument) -> str:
    outcomes = listed([f"{count} {outcome}" for outcome, count in shown.rules.items()])
    rules = counted(sum(shown.rules.values()), "rule") + (f" ({outcomes})" if outcomes else "")
    judged = f"Judged by {rules}" if shown.batch is not None else "Judged when it was first published"
    waivers = counted(len(shown.waivers), "waiver") if shown.waivers else "waivers none"
    anomalies = ", ".join(shown.anomalies) or "none"
    return f"{judged}, hash {brief(shown.rules_hash)} · {shown.verdict} · {waivers} · anomalies {anomalies}"


def _waiver(waiver: Allowed) -> list[str]:
    people = " and ".join(name for name in (waiver.owner, waiver.approver) if name)
    text = f"on {waiver.rule_id or 'the quota'}, by {people}, until {waiver.until}: {waiver.reason}"
    return labelled(f"  {waiver.waiver_id}", text, 12)
