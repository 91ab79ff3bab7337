"""The gate's commands: judge a batch (`dataops gate GROUP`), measure the gate itself, try rules before they count."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dataops.cli import runs
from dataops.cli.screen import Screen
from dataops.declared.errors import DeclarationError
from dataops.facts.text import percent

if TYPE_CHECKING:
    from dataops.lab.documents import Count, ScoreDocument

DEFAULT = "run"
Group = Annotated[str | None, typer.Option("--group", metavar="GROUP", help="only this group")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document (docs/reference/json/)")]


class _WithDefault(typer.core.TyperGroup):
    """Takes a first word that is no command, such as a group's name, for what the default command judges."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  typer's vendored click types
        if args and args[0] not in self.commands and args[0] not in {"-h", "--help"}:
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)


gate = typer.Typer(
    cls=_WithDefault, help="Judge a batch again; measure the gate; try rules before they count.", no_args_is_help=True
)
gate.command(DEFAULT)(runs.gate)


@gate.command("score")
def score(
    ctx: typer.Context,
    group: Group = None,
    source: Annotated[
        str | None, typer.Option("--source", metavar="URL", help="clean data; default: as for dataops load")
    ] = None,
    as_json: Json = False,
) -> int:
    """Plant a catalogue of corruptions into clean batches and count how many the rules find.

    Works in a warehouse of its own; the configured one is not touched. Takes some minutes. Exit code 1 when clean rows
    break a critical rule or nothing trips a rule.

    Examples:  dataops gate score  |  dataops gate score --group sales --json
    """
    from dataops.cli.runs import _found_source
    from dataops.lab.corruptions.run import score as measured
    from dataops.lab.documents import GroupScore, ScoreDocument
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    work = open_workspace()
    url = source or work.settings.source_url or _found_source(work, screen)
    scores = measured(work, url, [group] if group else (), screen.hint)
    document = ScoreDocument(groups=tuple(map(GroupScore.of, scores)))
    if as_json:
        screen.document(document)
    else:
        _show(screen, document)
    return int(any(s.false_alarms or s.untripped for s in scores))


def _show(screen: Screen, document: ScoreDocument) -> None:
    rows = [
        (score.group, name, *_shown(row), *_shown(whole))
        for score in document.groups
        for name, row, whole in [*((d.dataset, d.row, d.set) for d in score.datasets), ("(all)", score.row, score.set)]
    ]
    screen.table(("group", "dataset", "row-level", "share", "set-level", "share"), rows)
    for title, names in (
        ("undetected", "undetected"),
        ("needs history", "needs_history"),
        ("rules that nothing trips", "untripped"),
        ("false alarms on clean data", "false_alarms"),
    ):
        for score in document.groups:
            screen.lines(f"{title}: {score.group}: {name}" for name in getattr(score, names))


def _shown(count: Count) -> tuple[str, str]:
    planted, detected = count.planted, count.detected
    return f"{detected}/{planted}", percent(detected / planted) if planted else ""


@gate.command("simulate")
def simulate(
    ctx: typer.Context,
    rules: Annotated[
        Path, typer.Option("--rules", metavar="DIR", help="changed contracts/, expectations/, checkpoints/")
    ],
    group: Group = None,
    last: Annotated[int, typer.Option("--last", min=1, help="how many kept batches per group")] = 10,
    style: Annotated[str, typer.Option("--format", metavar="STYLE", help="text, markdown or json")] = "text",
) -> int:
    """Judge kept batches under changed rules and say what would have been different; writes nothing.

    The folder's files are laid over the project's. Exit code 1 when an outcome changes.

    Examples:  dataops gate simulate --rules ../branch  |  dataops gate simulate --rules ../branch --format markdown
    """
    from dataops.cli import simulation
    from dataops.lab.documents import SimulationDocument
    from dataops.lab.simulate import simulate as tried
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    if style not in {"text", "markdown", "json"}:
        raise DeclarationError(f"--format is text, markdown or json, not {style!r}")
    found = tried(open_workspace(), rules, group, last)
    if style == "json":
        screen.document(SimulationDocument.of(found, simulation.headline(found)))
    else:
        screen.lines(simulation.lines(found, markdown=style == "markdown"))
    return int(found.changed)
