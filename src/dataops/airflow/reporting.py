"""Tasks that wait until data are published and whole, and tasks that make reports of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, TaskGroup
from airflow.sdk.exceptions import AirflowFailException

from dataops.airflow.groups import reports
from dataops.airflow.operators import Job

if TYPE_CHECKING:
    from dataops.ledger.workspace import Workspace


class _Waiting(BaseSensorOperator):  # type: ignore[misc]
    """Waits while something is lacking for the run's period, and says what; between two looks it holds no slot."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        super().__init__(mode="reschedule", **options)

    def poke(self, context: Any) -> bool:  # noqa: ANN401
        from dataops.ledger.workspace import open_workspace

        why = self.lacking(open_workspace(), _day(context))
        if why:
            self.log.info("waits: %s", why)
        return why is None

    def lacking(self, work: Workspace, day: str) -> str | None:
        """What is lacking for the period of a day; None: nothing."""
        raise NotImplementedError


class Fresh(_Waiting):
    """Waits until what a report stands on is published and whole for the run's period."""

    def __init__(self, *, report: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.report = report

    def lacking(self, work: Workspace, day: str) -> str | None:
        """What the report waits for; where a gate holds it, its receivers are told, once."""
        from dataops.declared.reports import Period
        from dataops.facts import report_list, report_making
        from dataops.outlets.reports import sending

        report = report_list.required(work, self.report)
        period = Period.of(report.period, day)
        if report.receivers and report_making.is_held(work, report, period):
            sending.tell_waiting(work, report, str(period), day)
        return report_making.lacking(work, report, day)


class Whole(_Waiting):
    """Waits until data are published up to the end of the run's period; `reaches` is a SELECT that says how far."""

    def __init__(self, *, period: str, reaches: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.period = period
        self.reaches = reaches

    def lacking(self, work: Workspace, day: str) -> str | None:
        """What is held, missing or not there yet."""
        from dataops.facts import report_making

        return report_making.lacking_of(work, self.dag_id, self.reaches, self.period, day)


class MakeReport(Job):
    """Makes a report of the run's period, in its own language and in those of its receivers."""

    def __init__(self, *, report: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.report = report

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401
        from dataops.facts import report_list
        from dataops.outlets.reports import building

        report = report_list.required(work, self.report)
        for language in report.languages:
            made, is_new = building.build(work, report, _day(context), language, send=True)
            self.log.info("%s %s: %s", made.report_id, "made" if is_new else "was there already", made.headline)


class Restate(Job):
    """Notes figures that were reported and that the newest publication changed; a large one is an incident."""

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401, ARG002
        from dataops.outlets.reports import restating

        new = restating.note(work)
        self.log.info("%s figures of reported periods changed", len(new) or "no")


def make_reports(period: str, **patience: Any) -> None:  # noqa: ANN401  of the task that waits
    """Every report of this length of period, each in a group of its own: one that waits keeps no other waiting."""
    for report in reports(period):
        with TaskGroup(report):
            Fresh(task_id="fresh", report=report, **patience) >> MakeReport(task_id="make", report=report)


def _day(context: Any) -> str:  # noqa: ANN401
    """The first day of the run's period: its partition."""
    key = context["dag_run"].partition_key or context["params"].get("day")
    if not key:
        raise AirflowFailException(
            'this run names no day; trigger it with a partition key, or with {"day": "2026-05-01"}'
        )
    return str(key)[:10]
