"""Acts 3 to 5: the data, a first look without a scheduler, and a bad delivery that is refused."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

import sqlalchemy as sa

from dataops.declared.errors import DataopsError
from dataops.gate import policy
from dataops.gate.verdict import Verdict
from dataops.lab.demo import told
from dataops.lab.demo.memory import Facts, Memory
from dataops.lab.demo.origin import FAULTS, Origin, Totals
from dataops.lab.demo.screen import Screen, Watch, seconds
from dataops.lab.faulty_source import open_source
from dataops.ledger import batches, incidents, publications
from dataops.ledger.enums import Outcome
from dataops.ledger.schema import is_there
from dataops.ledger.workspace import Workspace
from dataops.pipeline import jobs
from dataops.pipeline.publish import Published
from dataops.sources import Window

BEGIN = datetime(2011, 5, 31)  # noqa: DTZ001  source times carry no zone
BAD_DAY = datetime(2014, 5, 1)  # noqa: DTZ001
ONE_DAY = timedelta(days=1)


class DemoError(DataopsError):
    """The demo did not show what it promises; says what to do."""


@dataclass(frozen=True)
class Stage:
    """What every act works with."""

    work: Workspace
    origin: Origin
    screen: Screen
    memory: Memory


def data_found(stage: Stage, sentence: str) -> None:
    """Act 3."""
    watch = Watch()
    screen, tables = stage.screen, stage.origin.tables
    first, *rest = sentence.splitlines()
    screen.act(3, first)
    screen.note("\n".join(rest))
    counts = f"{tables['orders'].num_rows:,} orders, {tables['lines'].num_rows:,} order lines"
    screen.timed(f"{counts}, {tables['products'].num_rows:,} products", watch.took)


def first_look(stage: Stage) -> None:
    """Act 4: everything before the bad day, group by group in one process, so that the engines are imported once."""
    stage.screen.act(4, f"First look, without Airflow: everything up to {day(BAD_DAY - ONE_DAY)}")
    history = Window(BEGIN, BAD_DAY)
    importing = _imports_of_the_engines(stage)
    for group, window in (("reference", None), ("sales", history), ("inventory", history)):
        _publish_group(stage, f"first look: {group}", group, window, importing)
    publish_built(stage, "first look")
    say_totals(stage, BAD_DAY)
    site(stage)
    front = stage.work.settings.paths.shown(stage.work.settings.paths.data_docs / "index.html")
    stage.screen.note(f"Look now, if you like: {front} (the rest goes on meanwhile)")


def _imports_of_the_engines(stage: Stage) -> threading.Thread:
    """GX takes six seconds to import: that goes on while the first batch lands."""

    def check() -> None:
        from dataops.gate import gx

        gx.check(stage.work.catalog.group("reference"), stage.work.catalog.schema)

    thread = threading.Thread(target=check, daemon=True)
    if "first look: curated" not in stage.memory:
        thread.start()
    return thread


def _extracted(stage: Stage, group: str, window: Window | None) -> str:
    with jobs.source_of(stage.work, stage.origin.url) as source:
        return jobs.extract(stage.work, group, window, source)


def _publish_group(
    stage: Stage, step: str, group: str, window: Window | None, importing: threading.Thread | None = None
) -> None:
    def do() -> Facts:
        watch = Watch()
        stage.screen.meanwhile(f"{group}: extract")
        batch_id = _extracted(stage, group, window)
        if importing and importing.is_alive():
            importing.join()
        return _gated(stage, batch_id, watch)

    _say_group(stage, group, *stage.memory.once(step, do))


def publish_built(stage: Stage, step: str) -> None:
    """Builds, judges and publishes every group of models, each after those that it reads."""
    for group in stage.work.catalog.built:
        _say_group(stage, group, *stage.memory.once(f"{step}: {group}", partial(_built, stage, group)))


def _built(stage: Stage, group: str) -> Facts:
    watch = Watch()
    stage.screen.meanwhile(f"{group}: build")
    built = jobs.build_candidates(stage.work, group)
    if not built.models:
        return {"publication": None, "rules": 0, "warned": 0, "rows": 0, "took": watch.took}
    return _gated(stage, built.batch_id, watch)


def _gated(stage: Stage, batch_id: str, watch: Watch) -> Facts:
    group = batch_id.partition("-")[0]
    stage.screen.meanwhile(f"{group}: Soda and GX judge {batch_id}")
    verdict = jobs.run_gate(stage.work, group, batch_id)
    if not verdict.passed:
        raise DemoError(_unexpected(verdict))
    stage.screen.meanwhile(f"{group}: publish")
    done = jobs.publish(stage.work, batch_id=batch_id)
    jobs.renew_copy(stage.work)
    return _facts(verdict, done, watch.took)


def _unexpected(verdict: Verdict) -> str:
    return (
        f"{verdict.batch_id} was expected to pass, its verdict is {verdict.name}: {verdict.sentence}.\n"
        f"Nothing was published. See: .venv/bin/dataops incidents list"
    )


def _facts(verdict: Verdict, done: Published, took: float) -> Facts:
    return {
        "publication": done.publication_id,
        "rules": verdict.count(Outcome.PASSED) + verdict.count(Outcome.WARNED),
        "warned": verdict.count(Outcome.WARNED),
        "rows": done.total("new") + done.total("changed"),
        "held": done.total("quarantined"),
        "took": took,
        "resolved": list(done.resolved),
    }


def _say_group(stage: Stage, group: str, facts: Facts, before: bool) -> None:
    if before:
        stage.screen.note(f"{group:<11} already there: {facts['rows']:,} rows, {facts['publication'] or 'unchanged'}")
        return
    text = (
        f"{group:<11} {facts['rules']:>3} rules passed {facts['rows']:>9,} rows published  {facts['publication'] or ''}"
    )
    stage.screen.timed(text, facts["took"])


def say_totals(stage: Stage, until: datetime) -> None:
    """Published revenue and gross profit beside the source's own sums. Raises DemoError unless they are equal."""
    published, expected = _published(stage.work, until), stage.origin.totals(until)
    if published != expected:
        raise DemoError(
            f"published: {published}\n"
            f"in source: {expected}\n"
            "They differ, so the demo stops. See: .venv/bin/dataops status"
        )
    money = f"Revenue {published.revenue:,.2f}   Gross profit {published.gross_profit:,.2f}"
    stage.screen.note(f"{money}  as in the source.")


def _published(work: Workspace, until: datetime) -> Totals:
    query = sa.text("SELECT COUNT(*), SUM(revenue), SUM(gross_profit) FROM curated.fct_sales WHERE order_date < :until")
    with work.warehouse.reading() as connection:
        lines, revenue, profit = connection.execute(query, {"until": until.date()}).one()
    return Totals(int(lines), Decimal(revenue or 0), Decimal(profit or 0))


def bad_delivery(stage: Stage) -> None:
    """Act 5: faults are planted, the gate refuses the day, the clean delivery is published and solves the incident."""
    screen, window = stage.screen, Window(BAD_DAY, BAD_DAY + ONE_DAY)
    screen.act(5, f"A bad delivery: {day(BAD_DAY)} with three planted faults")
    planted = stage.origin.planted(window)
    screen.note(
        f"{planted.overpriced} lines with a unit price 100 times too high (line totals untouched, so\n"
        f"no sum would show it), {planted.orphans} order without a customer, {planted.twice} order sent twice."
    )
    _say_held(stage, *stage.memory.once("bad delivery: held", lambda: _refused(stage, window)))
    screen.note("Source fixed, delivered again.")
    _say_again(stage, window, *stage.memory.once("bad delivery: again", lambda: _accepted(stage, window)))
    publish_built(stage, "bad delivery")
    say_totals(stage, BAD_DAY + ONE_DAY)


def _refused(stage: Stage, window: Window) -> Facts:
    watch = Watch()
    stage.screen.meanwhile("sales: the bad delivery is judged")
    with jobs.source_of(stage.work, stage.origin.faulty_url, open_source) as source:
        load = jobs.load(stage.work, "sales", window, source)
    verdict = load.verdict
    if verdict is None or load.publication is not None or verdict.name != "FAILED":
        raise DemoError(f"{load.batch_id} with {', '.join(FAULTS)} was not refused; that is a defect of the rules.")
    quota = stage.work.catalog.group("sales").checkpoint.quota
    opened = _incident(stage.work, load.batch_id)
    stage.screen.meanwhile("sales: people are told")
    files, problems = told.tell(stage.work, str(opened["incident"]))
    return {
        "told": files,
        "not_told": problems,
        "rows_held": verdict.rows_held,
        "rows": verdict.rows_received,
        "share": policy.money_share(verdict.money) or 0.0,
        "quota": quota.money or 0.0,
        "took": watch.took,
        **opened,
    }


def _incident(work: Workspace, batch_id: str) -> Facts:
    """The incident that the batch opened, and the publication that still stands."""
    with work.warehouse.reading() as connection:
        batch = batches.required(connection, batch_id)
        opened = incidents.of_batch(connection, batch.seq)
        stands = publications.last(connection, batch.group)
    return {
        "incident": opened[0].incident_id if opened else None,
        "sentence": opened[0].sentence if opened else None,
        "stands": stands.publication_id if stands else None,
    }


def _say_held(stage: Stage, facts: Facts, before: bool) -> None:
    rows = f"{facts['rows_held']:,} of {facts['rows']:,} rows"
    text = f"{'sales':<11} HELD      {rows} = {facts['share']:.1%} of the money, quota {facts['quota']:.0%}"
    if before:
        stage.screen.note(f"{text} (then)")
    else:
        stage.screen.timed(text, facts["took"])
    stage.screen.note(
        f"{'':<22}{facts['incident']}: {facts['sentence']}\n"
        f"{'':<22}figures still stood at {day(BAD_DAY - ONE_DAY)}: {facts['stands']}"
    )
    for number, file in enumerate(facts.get("told", ())):
        stage.screen.note(f"{'' if number else 'told, as files:':<22}{file}")
    _say_not_told(stage, facts)


def _say_not_told(stage: Stage, facts: Facts) -> None:
    for problem in facts.get("not_told", ()):
        stage.screen.note(f"{'not told yet:':<22}{problem}")


def _accepted(stage: Stage, window: Window) -> Facts:
    watch = Watch()
    batch_id = _extracted(stage, "sales", window)
    facts = _gated(stage, batch_id, watch)
    _, problems = told.tell(stage.work, "INC")
    return facts | {"not_told": problems}


def _say_again(stage: Stage, window: Window, facts: Facts, before: bool) -> None:
    published, expected = _of_day(stage.work, window), stage.origin.totals(window.end, window.start).revenue
    if published != expected:
        raise DemoError(f"{day(window.start)}: {published} published, {expected} in the source; the demo stops.")
    solved = ", ".join(facts["resolved"])
    text = f"{'sales':<11} PUBLISHED {facts['rows']:,} rows, USD {published:,.2f} ties  {facts['publication']}"
    if before:
        stage.screen.note(f"{text} (then)")
    else:
        stage.screen.timed(text, facts["took"])
    if solved:
        stage.screen.note(f"{'':<22}{solved} solved by it")
    _say_not_told(stage, facts)


def _of_day(work: Workspace, window: Window) -> Decimal:
    query = sa.text(
        "SELECT SUM(d.line_total) FROM validated.sales_order_detail d JOIN validated.sales_order_header h"
        " ON h.sales_order_id = d.sales_order_id WHERE h.order_date >= :since AND h.order_date < :until"
    )
    with work.warehouse.reading() as connection:
        return Decimal(connection.execute(query, {"since": window.start, "until": window.end}).scalar() or 0)


def reports(stage: Stage) -> None:
    """One report of each kind, of the last period that is over."""
    from dataops.facts import report_list
    from dataops.outlets.reports import archive, building

    for report in report_list.load(stage.work).values():
        watch = Watch()
        stage.screen.meanwhile(f"report {report.report}")
        made, _ = building.build(stage.work, report, None)
        paper = next((file for file in made.files if file.format == "pdf"), made.files[0])
        shown = stage.work.settings.paths.shown(archive.path(stage.work, made, paper))
        stage.screen.timed(f"report {made.period:<11} {shown}", watch.took)


def site(stage: Stage) -> None:
    """Brings Data Docs up to date; a bystander, so its trouble is told and stops nothing."""
    from dataops.outlets.site import data_docs

    watch = Watch()
    stage.screen.meanwhile("Data Docs")
    try:
        data_docs.build(stage.work)
    except Exception as error:
        logging.getLogger("dataops").warning("Data Docs were not renewed", exc_info=True)
        stage.screen.note(f"Data Docs were not renewed ({type(error).__name__}); see {_shown(stage)}/demo.log")
    else:
        stage.screen.meanwhile(f"Data Docs {seconds(watch.took)}")


def _shown(stage: Stage) -> str:
    paths = stage.work.settings.paths
    return paths.shown(paths.log)


def day(moment: datetime) -> str:
    """As in `30 April 2014`."""
    return f"{moment.day} {moment:%B %Y}"


def still_holds(work: Workspace) -> Callable[[Facts], bool]:
    """Whether what a remembered step published is in the ledger still."""
    with work.warehouse.reading() as connection:
        if not is_there(connection):
            return lambda _facts: False
        known = set(publications.ids(connection))
    return lambda facts: facts.get("publication") is None or facts["publication"] in known
