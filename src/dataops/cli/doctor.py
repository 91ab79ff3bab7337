"""The command `doctor`: what was probed, one line each; the last line answers whether one is good to go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.screen import Screen
from dataops.cli.secrets import masked
from dataops.facts.text import labelled

if TYPE_CHECKING:
    from dataops.lab.doctor import Finding


def doctor(
    ctx: typer.Context,
    subjects: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SUBJECT]...", help="python, files, warehouse, source, …; default: all"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document (docs/reference/json/)")] = False,
) -> int:
    """Look whether everything is in place: packages, files, warehouse, source, disk. Writes nothing.

    Examples:  dataops doctor  |  dataops doctor warehouse -v
    """
    from dataops.lab import doctor as probes

    screen: Screen = ctx.obj
    with screen.working("looking"):
        found = probes.run(subjects or ())
    code = probes.exit_code(found)
    if as_json:
        from dataops.lab.documents import DoctorDocument, Probed

        items = tuple(
            Probed(level=f.level, subject=f.subject, fact=masked(f.fact), advice=masked(f.advice)) for f in found
        )
        screen.document(DoctorDocument(findings=items, conclusion=probes.conclusion(found), exit_code=code))
        return code
    for finding in found:
        screen.lines(lines(finding))
    screen.line()
    screen.lines(labelled("", probes.conclusion(found), 0))
    return code


def lines(finding: Finding) -> list[str]:
    """As it stands on a screen."""
    first = labelled(f" {finding.level:<5} {finding.subject}", masked(finding.fact), 18)
    return first + (labelled("", masked(finding.advice), 18) if finding.advice else [])
