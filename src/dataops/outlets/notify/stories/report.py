"""A report on its way to one receiver, and the word that it waits: figures, charts, files of the archive."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from dataops.declared.errors import DataRejected, DeclarationError
from dataops.declared.reports import Period, Receiver, ReportFile
from dataops.facts import report_making
from dataops.facts.report import ReportDocument, read
from dataops.facts.wording import Wording
from dataops.ledger import outbox, reports
from dataops.ledger.enums import Channel, DeliveryState, NoticeKind
from dataops.ledger.outbox import Delivery
from dataops.ledger.reports import KeptFile, MadeReport
from dataops.outlets.notify.desk import Desk
from dataops.outlets.notify.story import Attached, Fact, Link, Para, Picture, Story, Table, table_of
from dataops.outlets.refusals import NeedlessError
from dataops.outlets.reports import archive, charts, texts
from dataops.outlets.site import people_pages

PICTURES = 2
SHOWN = 10  # rows of a section in a message
MIME = {
    "pdf": "application/pdf",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
}


def story(desk: Desk, delivery: Delivery) -> Story:
    """The report as the archive has it. Raises NeedlessError where its receiver wants no unchanged figures.

    Raises DataRejected when a file of the archive is gone or is not what was kept.
    """
    report_id, _, again = delivery.what.partition(outbox.AGAIN)
    with desk.work.warehouse.reading() as connection:
        made = reports.find(connection, report_id)
        before = [] if again else _sent_before(outbox.to_receiver(connection, delivery))
    if made is None:
        raise DeclarationError(f"no report {report_id!r} was made")
    page = read(_content(desk, made, _file(made, "json")).decode())
    receiver = _receiver(desk.reports.get(made.report), delivery)
    if before and receiver and receiver.unchanged != "send":
        _refuse_unchanged(desk, page, before[-1], receiver)
    return _told(desk, made, page, receiver, delivery.channel)


def _told(desk: Desk, made: MadeReport, page: ReportDocument, receiver: Receiver | None, channel: Channel) -> Story:
    wording = Wording(page.language, page.currency)
    told = texts.of(page)
    wanted = receiver.formats if receiver else tuple(file.format for file in made.files if file.format != "json")
    files = [file for file in made.files if file.format in wanted]
    small = sum(file.bytes for file in files) <= desk.work.settings.project.messages.largest_attachments
    attached = channel is Channel.MAIL and small
    figures = Table(tuple(told["figure_heads"]), tuple(tuple(row) for row in told["figures"]))
    shown = figures if channel is Channel.MAIL else _section(told) or figures
    owner = desk.reports[made.report].owner if made.report in desk.reports else ""
    return Story(
        sentence=f"{page.title}, {told['period']}: {page.headline}",
        title=f"{page.title}, {told['period']}",
        paras=(Para("", page.headline),),
        facts=(Fact("Owner", owner, is_person=True),) if channel is Channel.SLACK and owner else (),
        table=shown,
        notes=(*page.notes, told["made_of"], *([told["reaches"]] if told["reaches"] else [])),
        links=() if attached else tuple(_links(desk, made, files)),
        run=None,
        pictures=tuple(_pictures(page, wording)) if channel is Channel.MAIL else (),
        attached=tuple(
            Attached(file.name, MIME.get(file.format, "application/octet-stream"), _content(desk, made, file))
            for file in files
        )
        if attached
        else (),
        language=page.language,
    )


def waits(desk: Desk, delivery: Delivery) -> Story:
    """That a report cannot be made yet, and why. Raises NeedlessError when it was made meanwhile."""
    name, period, day = delivery.what.split("/")
    with desk.work.warehouse.reading() as connection:
        if any(made.period == period for made in reports.of(connection, name)):
            raise NeedlessError("the report was made meanwhile")
    declared = desk.reports.get(name)
    if declared is None:
        raise NeedlessError(f"{name} is not declared any more")
    try:
        groups = report_making.groups_of(desk.work.catalog, declared)
        report_making.require_published(desk.work, name, groups, Period.of(declared.period, day))
    except DataRejected as problem:
        why = str(problem).splitlines()[0].removeprefix(f"{name} waits: ")
    else:
        raise NeedlessError("nothing holds it back any more")
    receiver = _receiver(declared, delivery)
    wording = Wording(
        (receiver.language if receiver else None) or declared.language, desk.work.settings.project.currency
    )
    title = declared.title.of(wording.language)
    of = wording.period(Period.of(declared.period, day))
    held = [group for group in desk.status.groups if group.state == "held" and group.incident]
    stand = [f"{g.group} {g.figures_as_of}" for g in held if g.figures_as_of]
    return Story(
        sentence=wording.word("report_waits", title=title, period=of, why=why),
        title=f"◔ {wording.word('report_waits', title=title, period=of, why=why)}",
        paras=(
            Para(wording.word("report_follows")),
            *([Para(wording.word("last_good", stand=", ".join(stand)))] if stand else []),
        ),
        links=tuple(Link(str(g.incident), desk.site(people_pages.path(str(g.incident)))) for g in held),
        language=wording.language,
    )


def _receiver(declared: ReportFile | None, delivery: Delivery) -> Receiver | None:
    return next((r for r in (declared.receivers if declared else ()) if r.to == delivery.whom), None)


def _sent_before(earlier: list[Delivery]) -> list[Delivery]:
    return [d for d in earlier if d.kind is NoticeKind.REPORT and d.state is DeliveryState.DELIVERED]


def _refuse_unchanged(desk: Desk, page: ReportDocument, before: Delivery, receiver: Receiver) -> None:
    """Raises NeedlessError where the receiver has these figures already and wants them on Mondays only, or never."""
    if receiver.unchanged == "on Mondays" and page.period_end.weekday() == 6:  # noqa: PLR2004  Sunday: read on Monday
        return
    with desk.work.warehouse.reading() as connection:
        made = reports.find(connection, before.what.partition(outbox.AGAIN)[0])
    if made and figures_of(read(_content(desk, made, _file(made, "json")).decode())) == figures_of(page):
        raise NeedlessError(f"the figures are those of {made.report_id}")


def figures_of(page: ReportDocument) -> object:
    """What of a report may change from one period to the next, apart from the period itself."""
    return [(s.section, s.rows, s.total) for s in page.sections], [(f.metric, f.value) for f in page.figures]


def _file(made: MadeReport, kind: str) -> KeptFile:
    return next(file for file in made.files if file.format == kind)


def _content(desk: Desk, made: MadeReport, file: KeptFile) -> bytes:
    """A file of the archive, as it was kept: nothing else is ever sent in its name."""
    path = archive.path(desk.work, made, file)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataRejected(f"{file.name} cannot be read from the archive: {error.strerror}") from None
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataRejected(f"{file.name} is not what was kept in the archive; its hash differs")
    return content


def _section(told: texts.Texts) -> Table | None:
    """The first section that has rows."""
    for section in told["sections"]:
        if section["rows"]:
            return table_of(section["heads"], section["rows"], SHOWN)
    return None


def _links(desk: Desk, made: MadeReport, files: list[KeptFile]) -> Iterator[Link]:
    for file in files:
        yield Link(file.format.upper(), desk.site(f"reports/{made.period}/{file.name}"))


def _pictures(page: ReportDocument, wording: Wording) -> Iterator[Picture]:
    drawn = [section for section in page.sections if section.chart and section.rows]
    for number, section in enumerate(drawn[:PICTURES]):
        if section.chart:
            yield Picture(f"chart{number + 1}", section.chart.title, charts.png(section, wording))
