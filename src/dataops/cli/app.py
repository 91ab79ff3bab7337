"""The tree of commands and the options that all of them take; importing it imports no engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from dataops.cli import runs
from dataops.cli.audit import audit
from dataops.cli.backfill import backfill
from dataops.cli.batches import batches
from dataops.cli.check import check
from dataops.cli.doctor import doctor
from dataops.cli.explain import explain
from dataops.cli.gates import gate
from dataops.cli.impact import impact
from dataops.cli.incidents import incidents
from dataops.cli.lineage import lineage
from dataops.cli.notify import notify
from dataops.cli.outbox import outbox
from dataops.cli.publications import publications
from dataops.cli.query import query
from dataops.cli.reconcile import reconcile
from dataops.cli.reports import reports
from dataops.cli.screen import Screen
from dataops.cli.settling import quarantine
from dataops.cli.source import source
from dataops.cli.status import status
from dataops.cli.suggest import suggest
from dataops.cli.waivers import waivers
from dataops.cli.warehouse import warehouse
from dataops.cli.watch import watch
from dataops.cli.words import docs, words_group

EPILOG = (
    "Exit codes: 0 done, 1 data rejected, 2 usage or declaration, 3 platform error, verdict ERROR or unexpected,"
    " 130 interrupted."
)

app = typer.Typer(
    name="dataops",
    help="Write, audit, publish: nothing is read by anyone that a gate has not passed.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"dataops {version('dataops')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="data only, no hints")] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="-v: statements, warnings; -vv: tracebacks")
    ] = 0,
    _no_color: Annotated[bool, typer.Option("--no-color", help="as NO_COLOR=1")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Write, audit, publish: nothing is read by anyone that a gate has not passed."""
    ctx.obj = Screen(-1 if quiet else verbose)


COMMANDS: tuple[Callable[..., int], ...] = (
    *runs.COMMANDS,
    status,
    backfill,
    reconcile,
    audit,
    watch,
    query,
    explain,
    impact,
    suggest,
    docs,
    check,
    doctor,
)
for command in COMMANDS:
    app.command()(command)

for noun, commands in {
    "gate": gate,
    "batches": batches,
    "publications": publications,
    "incidents": incidents,
    "quarantine": quarantine,
    "waivers": waivers,
    "reports": reports,
    "lineage": lineage,
    "outbox": outbox,
    "notify": notify,
    "source": source,
    "warehouse": warehouse,
    "help": words_group,
}.items():
    app.add_typer(commands, name=noun)
