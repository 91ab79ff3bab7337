"""The commands `help words` and `docs`: what the words mean, and the site."""

from __future__ import annotations

from typing import Annotated

import typer

from dataops.cli.screen import Screen
from dataops.facts.text import labelled

WORDS = {
    "layer": "raw, validated, curated, marts; plus the invisible candidate and quarantine.",
    "dataset": "One table of one layer, <layer>.<table>; its files have the table's name in every folder.",
    "group": "Datasets that move together and are published in one transaction, e.g. sales; one checkpoint each.",
    "batch": "What one load brings or one build makes: rows per dataset of a group, with window, counts and totals.",
    "contract": "Soda's file: is this the dataset we agreed on? Columns, types, keys, required, duplicates, row count.",
    "suite": "Great Expectations' file: is every row right, and the whole? Ranges, sets, formats, business rules.",
    "rule": "One check with a stable id (SAL-003), a severity and a sentence why; stated once, in one engine.",
    "severity": "critical: the offending rows are held, or the batch where a rule names no rows. warning: published,"
    " flagged, told. info: noted.",
    "checkpoint": "checkpoints/<group>.yml: what policy a group has (quota, deletions) and who is told.",
    "verdict": "PASSED, FAILED or ERROR. ERROR: something could not be judged; it never publishes and is no FAILED.",
    "publication": "One atomic promotion of a group's accepted rows, with counts, control totals"
    " and the one before it.",
    "quarantine": "Rejected rows with every rule they broke; out again when they are delivered right.",
    "incident": "An opened problem: a held or unjudged batch, an anomaly, drift or late data; solved by what ends it.",
    "state": "Of a group: ● published, ◪ partly published (rows in quarantine), ■ held (nothing of the last batch was"
    " published), ◔ waiting (for another group, or for its own run), ▲ late.",
    "window": "A..B: from A up to and without B, in UTC.",
    "as of": "Reading a dataset as a publication left it.",
}

words_group = typer.Typer(help="What the words mean.", no_args_is_help=True)


@words_group.command("words")
def words(
    ctx: typer.Context,
    word: Annotated[str | None, typer.Argument(metavar="[WORD]", help="only this one")] = None,
) -> int:
    """Print the glossary.

    Examples:  dataops help words  |  dataops help words verdict
    """
    from dataops.declared.errors import DeclarationError

    screen: Screen = ctx.obj
    if word is not None and word not in WORDS:
        raise DeclarationError(f"no word {word!r}; there are {', '.join(WORDS)}")
    for name, meaning in WORDS.items():
        if word in {None, name}:
            screen.lines(labelled(name, meaning, 13))
    return 0


def docs(ctx: typer.Context) -> int:
    """Bring the site below data_docs/ up to date and print its front page.

    Examples:  dataops docs
    """
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.site import data_docs

    screen: Screen = ctx.obj
    work = open_workspace()
    with screen.working("writing Data Docs"):
        page = data_docs.build(work)
    screen.line(work.settings.paths.shown(page))
    screen.hint("opens by double click, no server is needed")
    return 0
