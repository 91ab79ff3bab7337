"""Whose fault an error is decides whether Airflow tries again; a stopped task leaves its job by an exception."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from dataops.airflow.operators import GateBlocked, Job
from dataops.declared.errors import DataRejected, DeclarationError, PlatformError, VerdictError

pytestmark = pytest.mark.unit


@pytest.fixture
def job() -> Job:
    return Job(task_id="job")


@pytest.mark.parametrize(
    "error", [PlatformError("disk full"), VerdictError("not judged"), AirflowSkipException("nothing")]
)
def test_infrastructure_and_what_could_not_be_judged_are_tried_again(job: Job, error: Exception) -> None:
    with pytest.raises(type(error)) as raised, job._answering():
        raise error
    assert raised.value is error


@pytest.mark.parametrize(
    "error", [DataRejected("no rows"), DeclarationError("typo"), KeyError("bug"), GateBlocked("41 rows")]
)
def test_data_declarations_and_defects_are_not_tried_again(job: Job, error: Exception) -> None:
    with pytest.raises(AirflowFailException, match=str(error)), job._answering():
        raise error


def test_a_stopped_task_leaves_its_job_past_every_except_exception(job: Job) -> None:
    def work() -> None:
        try:
            job.on_kill()
        except Exception:  # noqa: BLE001  as an engine that swallows everything does
            pytest.fail("swallowed")

    with pytest.raises(PlatformError, match="safe to run again"), job._answering():
        work()


def test_a_task_that_is_not_at_work_may_be_killed_quietly(job: Job) -> None:
    job.on_kill()
