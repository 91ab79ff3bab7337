"""The command `explain`: why a row is as it is, from its values back to the receipt; or why it is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.screen import Screen, plain_text
from dataops.facts.text import iso, labelled

if TYPE_CHECKING:
    from dataops.facts.explanation import (
        BatchNamed,
        EntryFacts,
        ExplanationDocument,
        InputFacts,
        RuleNamed,
        VersionFacts,
    )

WIDTH = 12


def explain(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="orders or validated.orders")],
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="a=1,b=2; the value alone for a single column")],
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="PUBLICATION", help="as it stood after e.g. sales-0041")
    ] = None,
    with_pii: Annotated[bool, typer.Option("--with-pii", help="personal data in clear text")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document (docs/reference/json/)")] = False,
) -> int:
    """Walk back from a row: its publication, batch, rules and receipt, what it was made from, what it was before.

    For a row that is not published: whether it is kept back, by which rules and since when, or was never seen.

    Examples:  dataops explain orders --key 43659
    |  dataops explain fct_orders --key order_id=43659,line_id=1
    """
    from dataops.facts import choosing, explanation
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    work = open_workspace()
    at = choosing.of_work(work, "publication", as_of) if as_of else None
    document = explanation.explain(work, dataset, key, at, clear=with_pii)
    if as_json:
        screen.document(document)
        return 0
    screen.lines(lines(document, every_rule=screen.verbosity > 0))
    if document.version and document.version.receipt:
        screen.hint(f"\nCheck it: dataops publications verify {document.version.publication}")
    elif document.state == "quarantined":
        screen.hint(f"\nThe rows: dataops quarantine show {document.dataset.rpartition('.')[2]}")
    return 0


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={plain_text(value)}" for name, value in values.items())


def lines(shown: ExplanationDocument, *, every_rule: bool = False) -> list[str]:
    """The explanation for people, in at most 80 columns as far as ids allow."""
    found = [f"{shown.dataset}  {_pairs(shown.key)}: {shown.state}"]
    if shown.version:
        found += labelled("row", _pairs(shown.version.values), WIDTH)
        found += _origin(shown, shown.version)
        found += _rules(shown, every_rule=every_rule)
        found += [line for item in shown.inputs for line in labelled("made from", _input(item), WIDTH)]
    found += _others(shown)
    for entry in shown.quarantine:
        found += labelled("quarantine", _held(entry), WIDTH)
    return found


def _origin(shown: ExplanationDocument, version: VersionFacts) -> list[str]:
    found = labelled("publication", _publication(version), WIDTH)
    found += [f"{'receipt':<{WIDTH}}{version.receipt or 'none'}"]
    if version.replaced_by:
        found += labelled("until", f"{version.replaced_by} ({version.operation})", WIDTH)
    if shown.restored_from:
        when = f", {iso(shown.restored_at)}" if shown.restored_at else ""
        found += labelled("restored", f"by a roll-back, from {shown.restored_from}{when}", WIDTH)
    return found + (labelled("batch", _batch(shown.batch), WIDTH) if shown.batch else [])


def _rules(shown: ExplanationDocument, *, every_rule: bool) -> list[str]:
    """What passed in brief, each with what was observed; what did not, in words."""
    brief = [r for r in shown.rules if r.outcome == "passed" and not every_rule]
    found = labelled("passed", ", ".join(_observed(r) for r in brief), WIDTH) if brief else []
    for rule in (r for r in shown.rules if r not in brief):
        found += labelled(rule.outcome, f"{_observed(rule)} {rule.severity}: {rule.says}", WIDTH)
    return found or labelled("rules", "none on this dataset", WIDTH)


def _observed(rule: RuleNamed) -> str:
    return f"{rule.rule_id} ({rule.observed})" if rule.observed else rule.rule_id


def _publication(version: VersionFacts) -> str:
    if version.published_at is None:
        return version.publication
    return f"{version.publication} ({version.kind}), {iso(version.published_at)}"


def _batch(batch: BatchNamed) -> str:
    start, end = batch.window_start, batch.window_end
    window = f", window {start.isoformat()}..{end.isoformat()}" if start and end else ""
    return f"{batch.batch}, from {batch.source}{window}"


def _input(item: InputFacts) -> str:
    where = item.publication or "nothing published"
    batch = f", batch {item.batch}" if item.batch else ""
    if item.names_none:
        return f"{item.dataset}: nothing, the row names none"
    if item.values is None:
        return f"{item.dataset}, {'no row of this key ' if item.names_key else ''}as {where} left it{batch}"
    return f"{item.dataset} {_pairs(item.key or {})}: {where}{batch}"


def _others(shown: ExplanationDocument) -> list[str]:
    """Other versions, newest first, each with what differs from the one shown."""
    found = []
    for version in shown.others:
        differing = {name: version.values[name] for name in version.differs_in}
        text = f"{_interval(version)}: {_pairs(differing) or 'the same values'}"
        found += labelled("also", text, WIDTH)
    return found


def _interval(version: VersionFacts) -> str:
    if version.replaced_by is None:
        return f"since {version.publication}"
    return f"from {version.publication} until {version.replaced_by} ({version.operation})"


def _held(entry: EntryFacts) -> str:
    rules = f"broke {entry.rules}" if entry.rules else f"fell with {entry.fell_with}"
    by = f" by {entry.released}" if entry.released else ""
    why = f": {entry.reason}" if entry.reason else ""
    state = f"closed ({entry.closed}{by}{why})" if entry.closed else "open"
    return f"{state}; {rules}; batch {entry.batch} ({entry.state}), since {iso(entry.since)}"
