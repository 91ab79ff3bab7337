"""One operator per verb of `pipeline.jobs`; a task runs its job in its own process and hands on ids, nothing else.

Whose fault an error is decides about retries: infrastructure and verdict ERROR are tried again, data and declarations
are not. The engine is imported while a task runs, never while a DAG file is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from dataops.airflow.partitions import NoPartitionError, key_of, window_of

if TYPE_CHECKING:
    from dataops.gate.verdict import Verdict
    from dataops.ledger.workspace import Workspace
    from dataops.pipeline.publish import Published


class GateBlocked(AirflowFailException):  # type: ignore[misc]
    """The verdict is FAILED: nothing downstream may run, and trying again would judge the same rows."""


class _Stopped(BaseException):
    pass


class Job(BaseOperator):  # type: ignore[misc]
    """A verb of `pipeline.jobs` as a task. Subclasses implement `work_on`."""

    ui_color = "#dfe7ef"
    batch_id: Any = None  # that it works on, once it is known

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  what every task takes
        super().__init__(**options)
        self._running = False
        self._facets: dict[str, Any] = {}

    def execute(self, context: Any) -> str | None:  # noqa: ANN401  Airflow's context
        from dataops.ledger.workspace import open_workspace

        with self._answering():
            work = open_workspace()
            try:
                return self.work_on(work, context)
            finally:
                self._look_up_facets(work)

    def work_on(self, work: Workspace, context: Any) -> str | None:  # noqa: ANN401
        """Does the job; what it returns goes to the tasks after it."""
        raise NotImplementedError

    def _begun(self, work: Workspace, batch_id: str, context: Any) -> str:  # noqa: ANN401
        from dataops.airflow import lineage

        self.batch_id = batch_id
        lineage.belongs(work, batch_id, context)
        return batch_id

    def _look_up_facets(self, work: Workspace) -> None:
        """What Airflow's lineage says of this run; while the warehouse is open, for the hooks that are asked later."""
        from dataops.airflow import lineage

        if self.batch_id:
            self._facets = lineage.of_batch(work, self.batch_id)

    def get_openlineage_facets_on_start(self) -> Any:  # noqa: ANN401  what Airflow's provider takes
        """Nothing is known yet."""
        from dataops.airflow import lineage

        return lineage.operator_lineage({})

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ANN401, ARG002  as above
        """What was found of the batch."""
        from dataops.airflow import lineage

        return lineage.operator_lineage(self._facets)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> Any:  # noqa: ANN401  as above
        """The same: a blocked gate says by which rules."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def on_kill(self) -> None:
        """SIGTERM: leaves the job by an exception, so that its transaction rolls back and its lock is freed."""
        if self._running:
            raise _Stopped

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Translates errors: raised as they are, they are tried again; as AirflowFailException, they are not."""
        from dataops.declared.errors import PlatformError, VerdictError

        self._running = True
        try:
            yield
        except _Stopped:
            raise PlatformError("the task was stopped; nothing was changed. It is safe to run again.") from None
        except (PlatformError, VerdictError, AirflowException):
            raise
        except Exception as error:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error
        finally:
            self._running = False


class Extract(Job):
    """Lands a batch of a group: of the run's window, or whole. Returns the batch's id."""

    def __init__(self, *, group: str, windowed: bool, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.group = group
        self.windowed = windowed

    def work_on(self, work: Workspace, context: Any) -> str:  # noqa: ANN401
        from dataops.lab.faulty_source import open_source
        from dataops.pipeline import jobs
        from dataops.sources import Window

        try:
            window = Window.parse(window_of(*_asked(context))) if self.windowed else None
        except NoPartitionError as error:
            raise AirflowFailException(str(error)) from None
        with jobs.source_of(work, opened=open_source) as source:
            return self._begun(work, jobs.extract(work, self.group, window, source), context)


class Build(Job):
    """Builds the models whose inputs are there, as a batch. Returns the batch's id."""

    def __init__(self, *, group: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.group = group

    def work_on(self, work: Workspace, context: Any) -> str:  # noqa: ANN401
        from dataops.pipeline import jobs

        built = jobs.build_candidates(work, self.group)
        self.log.info(
            "built %s; waiting: %s", ", ".join(built.models) or "nothing", ", ".join(built.waiting) or "nothing"
        )
        if not built.models:
            raise AirflowSkipException("no input changed since the last build, so nothing can differ")
        return self._begun(work, built.batch_id, context)


class BatchJob(Job):
    """A job on the batch that an earlier task landed or built."""

    template_fields = ("batch_id",)

    def __init__(self, *, batch_id: Any, group: str, replaceable: bool = False, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.batch_id = batch_id
        self.group = group
        self.replaceable = replaceable

    def _leave_if_replaced(self, work: Workspace) -> None:
        """A build that another run has replaced is not judged any more: the later one brings everything it had."""
        from dataops.pipeline import jobs

        if self.replaceable and (newest := jobs.latest(work, self.group, None)) != self.batch_id:
            raise AirflowSkipException(f"{self.batch_id} was replaced by {newest}, which another run judges")


class Audit(BatchJob):
    """Lets one engine judge the batch."""

    def __init__(self, *, engine: Literal["gx", "soda"], **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.engine = engine

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401, ARG002
        from dataops.pipeline import jobs

        self._leave_if_replaced(work)
        jobs.audit(work, self.batch_id, self.engine)


class Judge(BatchJob):
    """Gives the verdict. FAILED fails the task for good, which is what stops everything after it."""

    def work_on(self, work: Workspace, context: Any) -> str:  # noqa: ANN401, ARG002
        from dataops.airflow.messages import blocked
        from dataops.declared.errors import VerdictError
        from dataops.pipeline import jobs

        self._leave_if_replaced(work)
        verdict: Verdict = jobs.judge(work, self.batch_id)
        if verdict.name == "FAILED":
            raise GateBlocked(blocked(work, verdict))
        if verdict.name == "ERROR":
            raise VerdictError(f"{self.batch_id} could not be judged: {verdict.reasons[0]}. Nothing was published.")
        return str(verdict.name)


class Publish(BatchJob):
    """Publishes the batch and announces the partition; announces nothing when nothing was published."""

    def __init__(self, *, asset: Asset, **options: Any) -> None:  # noqa: ANN401
        super().__init__(outlets=[asset], **options)
        self.asset = asset

    def work_on(self, work: Workspace, context: Any) -> str | None:  # noqa: ANN401
        from dataops.declared.errors import DataRejected
        from dataops.pipeline import jobs

        try:
            done = jobs.publish(work, batch_id=self.batch_id)
        except DataRejected:
            self._leave_if_replaced(work)
            raise
        return announce(self, work, context, self.asset, done, _partition(context))


def announce(
    task: Job,
    work: Workspace,
    context: Any,  # noqa: ANN401
    asset: Asset,
    done: Published,
    partition: str,
) -> str | None:
    """Emits the partition of a publication; nothing when nothing was published or it was announced before."""
    from dataops.ledger.schema import writing
    from dataops.pipeline import watch

    task.log.info("%s: %s %s", done.batch_id, done.status, done.publication_id or "")
    task.outlets = []  # Airflow would announce every outlet of a task that succeeds
    if done.publication_id is None:
        return None
    with writing(work.warehouse) as connection:
        first = watch.announce(connection, done.publication_id, partition)
    if first:
        task.outlets = [asset]
        event = context["outlet_events"][asset]
        event.extra = {"publication": done.publication_id, "batch": done.batch_id}
        event.add_partitions([partition])
    return done.publication_id


class AskSteward(BatchJob):
    """After a verdict that failed: asks in Airflow what shall become of the batch, once per batch and rules.

    The question is a run of its own, so that tomorrow's load and a corrected delivery need not wait for the answer.
    """

    def work_on(self, work: Workspace, context: Any) -> None:  # noqa: ANN401
        from airflow.sdk.exceptions import DagRunTriggerException

        from dataops.pipeline import stewards

        held = stewards.held_batch(work, self.batch_id)
        if held is None:
            raise AirflowSkipException(f"{self.batch_id} is not held, so there is nothing to decide")
        raise DagRunTriggerException(
            trigger_dag_id="held_batch",
            dag_run_id=f"{self.batch_id}__{(held.rules_hash or '')[:12]}",
            conf={
                "batch": held.batch_id,
                "group": held.group,
                "rules_hash": held.rules_hash,
                "sentence": held.reason,
                "partition": _partition(context),
            },
            reset_dag_run=False,
            skip_when_already_exists=True,
            wait_for_completion=False,
            allowed_states=[],
            failed_states=[],
            poke_interval=60,
            deferrable=False,
        )


def _partition(context: Any) -> str:  # noqa: ANN401
    """The key to announce; a whole load that was started by hand is of the day on which it ran."""
    asked = _asked(context)
    return key_of(*asked) if any(asked) else f"{context['dag_run'].run_after:%Y-%m-%d}"


def _asked(context: Any) -> tuple[str | None, str | None]:  # noqa: ANN401
    return context["dag_run"].partition_key, context["params"].get("window")
