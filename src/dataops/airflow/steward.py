"""What people decide in Airflow's own pages: about a held batch, and by a form; carried out and recorded in the ledger.

An answer is trusted for nothing but who gave it: batch, rules and the waiver's state are looked at again in the ledger.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowSkipException

from dataops.airflow.blocks import Options
from dataops.airflow.operators import Job, announce

if TYPE_CHECKING:
    from dataops.ledger.workspace import Workspace

RELEASE, DISCARD, WAIT = "release with waiver", "discard", "wait"
AGREE, REFUSE = "agree", "refuse"
# A person's time is no worker's. Retries: Airflow 3.3 asks again when an answer overtakes its executor's word.
UNWATCHED: Options = {"pool": "default_pool", "execution_timeout": None, "retries": 10}


class Ask(HITLOperator):  # type: ignore[misc]
    """A question to a person; waiting for the answer takes no worker and no slot."""

    def __init__(self, *, options: list[str], otherwise: str, days: int, **settings: Any) -> None:  # noqa: ANN401
        super().__init__(
            options=options, defaults=otherwise, response_timeout=timedelta(days=days), **UNWATCHED, **settings
        )

    def execute_complete(self, context: Any, event: Options) -> Options:  # noqa: ANN401
        """The answer as plain values: no class travels between tasks."""
        answer = super().execute_complete(context, event)
        person = answer["responded_by_user"] or {}
        return {"choice": answer["chosen_options"][0], "form": answer["params_input"], "person": person.get("name")}


class Decide(Job):
    """Carries out what the steward chose for a held batch; returns the id of the waiver that somebody must approve."""

    def __init__(self, *, question: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.question = question

    def work_on(self, work: Workspace, context: Any) -> str:  # noqa: ANN401
        from dataops.pipeline import stewards

        answer, asked = context["ti"].xcom_pull(task_ids=self.question), context["params"]
        if answer["choice"] == WAIT:
            raise AirflowSkipException("nobody decided otherwise: the batch waits for a corrected delivery")
        reason = str(answer["form"].get("reason") or "").strip()
        if answer["choice"] == DISCARD:
            stewards.discard_batch(work, asked["batch"], answer["person"], reason or "discarded in Airflow")
            raise AirflowSkipException(f"{asked['batch']} was discarded by {answer['person']}")
        quota = str(answer["form"].get("quota") or "100%")
        return stewards.ask_release(work, asked["batch"], asked["rules_hash"], answer["person"], reason, quota)


class Release(Job):
    """Publishes a held batch when a second person agreed, and announces it as its own run would have done."""

    def __init__(self, *, question: str, request: str, assets: dict[str, Asset], **options: Any) -> None:  # noqa: ANN401
        super().__init__(outlets=list(assets.values()), **options)
        self.question = question
        self.request = request
        self.assets = assets

    def work_on(self, work: Workspace, context: Any) -> str | None:  # noqa: ANN401
        from dataops.pipeline import stewards

        answer = context["ti"].xcom_pull(task_ids=self.question)
        if answer["choice"] != AGREE:
            raise AirflowSkipException(f"{answer['person'] or 'nobody'} did not agree; the batch waits")
        done = stewards.release(work, context["ti"].xcom_pull(task_ids=self.request), answer["person"])
        return announce(self, work, context, self.assets[done.group], done, context["params"]["partition"])


class Act(Job):
    """Does what a form says, as the person who started the run."""

    def work_on(self, work: Workspace, context: Any) -> str:  # noqa: ANN401
        from dataops.pipeline import actions

        form = dict(context["params"])
        person = context["dag_run"].triggering_user_name or "unknown"
        done = actions.act(work, form["action"], person, form)
        self.log.info("%s", done)
        return done
