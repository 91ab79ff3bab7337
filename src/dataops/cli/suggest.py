"""The command `suggest`: rules that the published data propose, with what each is worth; prints, applies nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import Json
from dataops.cli.screen import Screen
from dataops.facts.text import counted, number

if TYPE_CHECKING:
    from dataops.lab.documents import SuggestDocument, SuggestedRule


def suggest(
    ctx: typer.Context,
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="such as raw.orders")],
    new: Annotated[bool, typer.Option("--new", help="only what notices damage that nothing notices today")] = False,
    last: Annotated[int, typer.Option("--last", min=1, help="on how many kept batches they are tried")] = 10,
    as_json: Json = False,
) -> int:
    """Suggest rules for a dataset from what is published of it, each tried on kept batches and on planted damage.

    Prints YAML to paste and changes nothing. Works on a copy of the warehouse; takes a minute or some.

    Examples:  dataops suggest raw.orders  |  dataops suggest raw.orders --new --json
    """
    from dataops.lab.documents import SuggestDocument
    from dataops.lab.suggest.run import suggest as suggested
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    document = SuggestDocument.of(suggested(open_workspace(), dataset, last, screen.hint), only_new=new)
    if as_json:
        screen.document(document)
    else:
        _show(screen, document)
    return 0


def _show(screen: Screen, document: SuggestDocument) -> None:
    screen.line(document.sentence)
    if not document.rules:
        return
    screen.line("")
    screen.table(
        ("rule", "kind", "says", "rows", "fired", "notices", "new", "cost"),
        [_shown(r, document.batches) for r in document.rules],
    )
    screen.line("")
    for rule in (r for r in document.rules if r.new):
        examples = ", ".join(damage.damage for damage in rule.new[:2])
        screen.line(f"{rule.rule} alone notices {counted(len(rule.new), 'kind')} of damage, such as: {examples}")
    screen.line("")
    screen.line("# To paste; nothing was changed. Try them first: dataops gate simulate --rules DIR")
    screen.lines(document.yaml.splitlines())


def _shown(rule: SuggestedRule, batches: int) -> tuple[str, ...]:
    cost = "" if rule.milliseconds is None else f"{rule.milliseconds:.0f} ms"
    return (
        rule.rule,
        rule.kind,
        rule.says,
        number(rule.rows),
        f"{rule.fired} of {batches}",
        number(rule.notices),
        number(len(rule.new)),
        cost,
    )
