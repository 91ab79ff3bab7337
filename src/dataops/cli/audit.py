"""The command `audit`: everything published against the ledger, its contracts and the source, on one page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from dataops.cli.listing import Json
from dataops.cli.screen import Screen
from dataops.facts.text import labelled, stamp

if TYPE_CHECKING:
    from dataops.facts.quality import QualityDocument, ScoreFacts
    from dataops.ledger.workspace import Workspace

SHOWN = 12  # datasets of the scorecard, the worst first


def audit(
    ctx: typer.Context,
    source: Annotated[
        str | None, typer.Option("--source", metavar="URL", help="to compare with; default: the configured one")
    ] = None,
    no_source: Annotated[bool, typer.Option("--no-source", help="compare with no source")] = False,
    last: Annotated[bool, typer.Option("--last", help="show the newest audit, make none")] = False,
    as_json: Json = False,
) -> int:
    """Audit what is published: against the ledger, its contracts and the source; with scorecards and budgets.

    Changes no published row. Exits with 1 when something was found, with 3 when not everything could be looked at.

    Examples:  dataops audit  |  dataops audit --no-source  |  dataops audit --last --json
    """
    from dataops.facts import quality
    from dataops.ledger.workspace import open_workspace

    screen: Screen = ctx.obj
    work = open_workspace()
    if not last:
        with screen.working("auditing"):
            _run(work, source or work.settings.source_url, compare=not no_source)
    document = quality.read(work)
    if as_json:
        screen.document(document)
    else:
        _show(screen, document)
    return 1 if document.findings else 3 if document.problem else 0


def _run(work: Workspace, url: str | None, *, compare: bool) -> None:
    from dataops.lab.faulty_source import open_source
    from dataops.pipeline import jobs

    jobs.audit_published(work, url, open_source, compare=compare)


def _show(screen: Screen, document: QualityDocument) -> None:
    screen.line(document.sentence)
    screen.lines(_facts(document))
    if document.findings:
        screen.line()
        rows = [
            (f.kind, f.dataset, f.sentence, "; ".join(f.sample), "new" if f.is_new else "") for f in document.findings
        ]
        screen.table(("finding", "dataset", "what", "keys", "since"), rows)
    for text in document.gone:
        screen.line(f"gone: {text}")
    if scores := list(_scorecard(document.scores)):
        screen.line()
        dimensions = ("completeness", "uniqueness", "validity", "consistency", "timeliness")
        screen.table(("dataset", *dimensions), scores[:SHOWN])
        if len(scores) > SHOWN:
            screen.hint(f"… and {len(scores) - SHOWN} more; all: dataops audit --last --json")
    if document.budgets:
        screen.line()
        screen.table(
            ("dataset", "promise", "spent", "runs out"),
            [
                (
                    b.dataset,
                    f"{b.promise} {100 * float(b.target):.6g} % over {b.days} days",
                    "broken" if b.spent is None else f"{100 * float(b.spent):.0f} %",
                    f"{b.runs_out:%Y-%m-%d}" if b.runs_out else "",
                )
                for b in document.budgets
            ],
        )
    if document.act:
        screen.line()
        screen.table(("who", "what", "run"), [(a.who, a.what, a.run) for a in document.act])


def _facts(document: QualityDocument) -> Iterator[str]:
    yield from labelled("audited", stamp(document.audited_at) if document.audited_at else "never", 9)
    yield from labelled("source", document.source or "none", 9)
    if document.problem:
        yield from labelled("problem", document.problem, 9)


def _scorecard(scores: tuple[ScoreFacts, ...]) -> Iterator[tuple[str, ...]]:
    """A row per dataset that misses something or changed, the worst first; with the change since the audit before."""
    from dataops.ledger.enums import Dimension

    cards: dict[str, dict[Dimension, ScoreFacts]] = {}
    for score in scores:
        cards.setdefault(score.dataset, {})[score.dimension] = score
    told = {
        dataset: card
        for dataset, card in cards.items()
        if any(s.held < s.checked or s.before not in {None, s.share} for s in card.values())
    }
    for dataset, card in sorted(told.items(), key=lambda item: min(float(s.share) for s in item[1].values())):
        yield (dataset, *(_told(card.get(dimension)) for dimension in Dimension))


def _told(score: ScoreFacts | None) -> str:
    if score is None:
        return ""
    text = f"{100 * float(score.share):.2f} %"
    change = float(score.share) - float(score.before) if score.before is not None else 0.0
    return f"{text} ({100 * change:+.2f})" if abs(change) >= 0.00005 else text  # noqa: PLR2004  what is shown
