"""Commands on batches: what was received, and what the rules said of it."""

from __future__ import annotations

from typing import Annotated

import typer

from dataops.cli.listing import Group, Json, Limit, Row, listed, newest, of, shown, window
from dataops.cli.text import iso, stamp

batches = typer.Typer(help="What was received: one batch per load or build.", no_args_is_help=True)


@batches.command("list")
def list_batches(ctx: typer.Context, group: Group = None, limit: Limit = 20, as_json: Json = False) -> int:
    """List batches, newest first.

    Examples:  dataops batches list  |  dataops batches list sales --limit 5
    """
    from dataops.ledger import tables as ledger

    found = newest(ledger.batches, group, limit)
    names = ("batch", "group", "state", "window", "source", "created", "reason")
    rows = [
        (r["batch_id"], r["group_name"], r["state"], window(r), r["source"], stamp(r["created_at"]), r["reason"] or "")
        for r in found
    ]
    return listed(ctx.obj, "batches", names, rows, [_batch(r) for r in found], as_json=as_json)


@batches.command("show")
def show_batch(
    ctx: typer.Context,
    batch: Annotated[str, typer.Argument(metavar="ID", help="id, unique prefix or latest")] = "latest",
    as_json: Json = False,
) -> int:
    """Show a batch: what came, what the rules said, what is held.

    Examples:  dataops batches show latest  |  dataops batches show sales-20140501
    """
    from dataops.cli import records
    from dataops.ledger import tables as ledger
    from dataops.ledger.workspace import open_workspace

    with open_workspace().warehouse.reading() as connection:
        found = records.one(connection, ledger.batches, "batch_id", batch, "batch")
        datasets = of(connection, ledger.batch_datasets, "batch", found["seq"])
        results = of(connection, ledger.check_results, "batch", found["seq"])
    unclean = [r for r in results if r["outcome"] != "passed"]
    content = _batch(found) | {
        "datasets": [{k: r[k] for k in ("table_name", "scope", "received", "controls", "notes")} for r in datasets],
        "rules": {"judged": len(results), "passed": len(results) - len(unclean)},
        "findings": [_finding(r) for r in sorted(unclean, key=_severity)],
    }
    return shown(ctx.obj, "batch", content, as_json=as_json)


def _severity(result: Row) -> tuple[int, str]:
    return ("error", "failed", "warned").index(result["outcome"]), result["rule_id"]


def _finding(r: Row) -> Row:
    return {
        "rule": r["rule_id"],
        "table": r["table_name"],
        "outcome": r["outcome"],
        "severity": r["severity"],
        "failing": r["failing"],
        "observed": r["observed"],
        "sample": r["sample"] or [],
        "problem": r["problem"],
    }


def _batch(r: Row) -> Row:
    return {
        "batch": r["batch_id"],
        "group": r["group_name"],
        "state": r["state"],
        "reason": r["reason"],
        "source": r["source"],
        "window": [iso(r["window_start"]), iso(r["window_end"])],
        "created_at": iso(r["created_at"]),
        "sealed_at": iso(r["sealed_at"]),
        "judged_at": iso(r["judged_at"]),
        "rules_hash": r["rules_hash"],
    }
