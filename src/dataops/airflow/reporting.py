"""Tasks that make reports: one waits until what they stand on is published and whole, one makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException

from dataops.airflow.operators import Job

if TYPE_CHECKING:
    from dataops.declared.reports import ReportFile
    from dataops.ledger.workspace import Workspace


class Fresh(BaseSensorOperator):  # type: ignore[misc]
    """Waits until every report of this length of period can be made for the run's period; says what it waits for.

    Between two looks it holds no slot, so a day that is held occupies nobody.
    """

    def __init__(self, *, period: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(mode="reschedule", **options)
        self.period = period

    def poke(self, context: Any) -> bool:  # noqa: ANN401
        from dataops.facts import report_making
        from dataops.ledger.workspace import open_workspace

        work, day = open_workspace(), _day(context)
        lacking = [
            f"{name}: {why}"
            for name, report in _reports(work, self.period).items()
            if (why := report_making.lacking(work, report, day))
        ]
        for line in lacking:
            self.log.info("waits: %s", line)
        return not lacking


class MakeReports(Job):
    """Makes every report of this length of period, in its own language and in those of its receivers."""

    def __init__(self, *, period: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.period = period

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401
        from dataops.outlets.reports import building

        day = _day(context)
        for report in _reports(work, self.period).values():
            for language in report.languages:
                made, is_new = building.build(work, report, day, language)
                self.log.info("%s %s: %s", made.report_id, "made" if is_new else "was there already", made.headline)


class Restate(Job):
    """Notes figures that were reported and that the newest publication changed; a large one is an incident."""

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401, ARG002
        from dataops.outlets.reports import restating

        new = restating.note(work)
        self.log.info("%s figures of reported periods changed", len(new) or "no")


def _reports(work: Workspace, period: str) -> dict[str, ReportFile]:
    from dataops.facts import report_list

    return {name: report for name, report in report_list.load(work).items() if report.period == period}


def _day(context: Any) -> str:  # noqa: ANN401
    """The first day of the run's period: its partition."""
    key = context["dag_run"].partition_key or context["params"].get("day")
    if not key:
        raise AirflowFailException(
            'this run names no day; trigger it with a partition key, or with {"day": "2026-05-01"}'
        )
    return str(key)[:10]
