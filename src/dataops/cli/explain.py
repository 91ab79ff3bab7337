"""The command `explain`: why a row is as it is, from its values back to the receipt; or why it is not there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataops.cli.quarantine import MASKED
from dataops.cli.screen import Screen, plain, plain_text
from dataops.cli.text import iso, labelled

if TYPE_CHECKING:
    from dataops.declared.catalog import Dataset
    from dataops.facts.explain import Explanation, Input, Version

Row = dict[str, Any]
WIDTH = 12


def explain(
    ctx: typer.Context,
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="sales_order_header or validated.sales_order_header")
    ],
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="a=1,b=2; the value alone for a single column")],
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="PUBLICATION", help="as it stood after e.g. sales-0041")
    ] = None,
    with_pii: Annotated[bool, typer.Option("--with-pii", help="personal data in clear text")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document (docs/reference/json/)")] = False,
) -> int:
    """Walk back from a row: its publication, batch, rules and receipt, what it was made from, what it was before.

    For a row that is not published: whether it is kept back, by which rules and since when, or was never seen.

    Examples:  dataops explain sales_order_header --key 43659
    |  dataops explain fct_sales --key sales_order_id=43659,sales_order_detail_id=1
    """
    from dataops.cli.records import publication_id
    from dataops.facts import explain as explaining
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    work = open_workspace()
    wanted = publication_id(work, as_of) if as_of else None
    found = explaining.explain(work, dataset, key, wanted)
    if as_json:
        screen.document({"schema": "dataops.explain/1", **document(found, clear=with_pii)})
        return 0
    screen.lines(lines(found, clear=with_pii, every_rule=screen.verbosity > 0))
    if found.version and found.version.publication["receipt"]:
        screen.hint(f"\nCheck it: dataops publications verify {found.version.publication['publication_id']}")
    elif found.state == "quarantined":
        screen.hint(f"\nThe rows: dataops quarantine show {found.dataset.table}")
    return 0


def _name(dataset: Dataset) -> str:
    return f"{dataset.published_layer}.{dataset.table}"


def _shown(values: Mapping[str, object], pii: Collection[str], *, clear: bool) -> Row:
    """Who a person is must be asked for."""
    return {
        name: MASKED if name in pii and value is not None and not clear else value for name, value in values.items()
    }


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={plain_text(value)}" for name, value in values.items())


def lines(found: Explanation, *, clear: bool = False, every_rule: bool = False) -> list[str]:
    """The explanation for people, in at most 80 columns as far as ids allow."""
    pii = found.dataset.contract.platform.pii
    said = [f"{_name(found.dataset)}  {_pairs(_shown(found.key, pii, clear=clear))}: {found.state}"]
    if found.version:
        said += labelled("row", _pairs(_shown(found.version.values, pii, clear=clear)), WIDTH)
        said += _origin(found)
        said += _rules(found, every_rule=every_rule)
        said += [line for item in found.inputs for line in labelled("made from", _input(item, clear=clear), WIDTH)]
    said += _others(found, clear=clear)
    for held in found.held:
        said += labelled("quarantine", _held(held), WIDTH)
    return said


def _origin(found: Explanation) -> list[str]:
    version, origin = found.version, found.origin
    if version is None or origin is None:
        return []
    said = labelled("publication", _publication(version.publication), WIDTH)
    said += [f"{'receipt':<{WIDTH}}{version.publication['receipt'] or 'none'}"]
    if version.replaced_by:
        said += labelled("until", f"{version.replaced_by['publication_id']} ({version.operation})", WIDTH)
    if origin.restored:
        said += labelled("restored", f"by a roll-back, from {_publication(origin.restored)}", WIDTH)
    if origin.batch:
        said += labelled("batch", _batch(origin.batch), WIDTH)
    return said


def _rules(found: Explanation, *, every_rule: bool) -> list[str]:
    """What passed in brief, each with what was observed; what did not, in words."""
    rules = found.origin.rules if found.origin else ()
    brief = [r for r in rules if r["outcome"] == "passed" and not every_rule]
    said = labelled("passed", ", ".join(_observed(r) for r in brief), WIDTH) if brief else []
    for rule in (r for r in rules if r not in brief):
        text = f"{_observed(rule)} {rule['severity']}: {rule['says']}"
        said += labelled(rule["outcome"], text, WIDTH)
    return said or labelled("rules", "none on this dataset", WIDTH)


def _observed(rule: Row) -> str:
    return f"{rule['rule_id']} ({rule['observed']})" if rule["observed"] else str(rule["rule_id"])


def _publication(publication: Row) -> str:
    if publication["published_at"] is None:
        return str(publication["publication_id"])
    return f"{publication['publication_id']} ({publication['kind']}), {iso(publication['published_at'])}"


def _batch(batch: Row) -> str:
    start, end = batch["window_start"], batch["window_end"]
    window = f", window {start.isoformat()}..{end.isoformat()}" if start else ""
    return f"{batch['batch_id']}, from {batch['source']}{window}"


def _input(item: Input, *, clear: bool) -> str:
    name = _name(item.dataset)
    where = item.publication["publication_id"] if item.publication else "nothing published"
    batch = f", batch {item.batch['batch_id']}" if item.batch else ""
    if item.key and None in item.key.values():
        return f"{name}: nothing, the row names none"
    if item.row is None:
        return f"{name}, {'no row of this key ' if item.key else ''}as {where} left it{batch}"
    key = _shown(item.key or {}, item.dataset.contract.platform.pii, clear=clear)
    return f"{name} {_pairs(key)}: {where}{batch}"


def _others(found: Explanation, *, clear: bool) -> list[str]:
    """Other versions, newest first, each with what differs from the one shown."""
    base = found.version.values if found.version else {}
    pii = found.dataset.contract.platform.pii
    said = []
    for version in found.others:
        differing = {n: v for n, v in version.values.items() if n not in base or base[n] != v}
        text = f"{_interval(version)}: {_pairs(_shown(differing, pii, clear=clear)) or 'the same values'}"
        said += labelled("also", text, WIDTH)
    return said


def _interval(version: Version) -> str:
    first = version.publication["publication_id"]
    if version.replaced_by is None:
        return f"since {first}"
    return f"from {first} until {version.replaced_by['publication_id']} ({version.operation})"


def _held(held: Row) -> str:
    rules = f"broke {held['rules']}" if held["rules"] else f"fell with {held['fell_with']}"
    by = f" by {held['released']}" if held["released"] else ""
    why = f": {held['reason']}" if held["reason"] else ""
    state = f"closed ({held['closed']}{by}{why})" if held["closed"] else "open"
    return f"{state}; {rules}; batch {held['batch']} ({held['state']}), since {iso(held['since'])}"


def document(found: Explanation, *, clear: bool = False) -> Row:
    """The same as a document; exact numbers are text."""
    pii = found.dataset.contract.platform.pii
    return {
        "dataset": _name(found.dataset),
        "key": _shown(found.key, pii, clear=clear),
        "state": found.state,
        "version": _version(found.version, pii, clear=clear) if found.version else None,
        "batch": _batch_document(found.origin.batch) if found.origin else None,
        "restored_from": _id(found.origin.restored) if found.origin else None,
        "rules": list(found.origin.rules) if found.origin else [],
        "inputs": [_input_document(item, clear=clear) for item in found.inputs],
        "others": [_version(version, pii, clear=clear) for version in found.others],
        "quarantine": [held | {"since": iso(held["since"])} for held in found.held],
    }


def _id(publication: Row | None) -> str | None:
    return None if publication is None else str(publication["publication_id"])


def _exact(values: Mapping[str, object], pii: Collection[str], *, clear: bool) -> Row:
    shown = _shown(values, pii, clear=clear)
    return {n: v if v is None or isinstance(v, bool | int | str) else plain(v) for n, v in shown.items()}


def _version(version: Version, pii: Collection[str], *, clear: bool) -> Row:
    return {
        "values": _exact(version.values, pii, clear=clear),
        "publication": _id(version.publication),
        "receipt": version.publication["receipt"],
        "replaced_by": _id(version.replaced_by),
        "operation": version.operation,
    }


def _batch_document(batch: Row | None) -> Row | None:
    if batch is None:
        return None
    moments = {name: iso(batch[name]) for name in ("window_start", "window_end")}
    return {"batch": batch["batch_id"], "source": batch["source"], **moments}


def _input_document(item: Input, *, clear: bool) -> Row:
    pii = item.dataset.contract.platform.pii
    return {
        "dataset": _name(item.dataset),
        "publication": _id(item.publication),
        "batch": item.batch["batch_id"] if item.batch else None,
        "key": _exact(item.key, pii, clear=clear) if item.key and item.row else None,
        "values": _exact(item.row, pii, clear=clear) if item.row else None,
    }
