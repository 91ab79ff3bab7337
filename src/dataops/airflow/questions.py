"""How the DAGs for people are wired: the questions about a held batch, and the form of all that a steward can do."""

from __future__ import annotations

from airflow.sdk import Param

from dataops.airflow.blocks import ASSETS, POLICY, Options, build_all
from dataops.airflow.steward import AGREE, DISCARD, REFUSE, RELEASE, WAIT, Ask, Decide, Release

BY_HAND: Options = {"tags": ["steward"], "is_paused_upon_creation": False, **POLICY}
HELD: Options = {
    "params": {name: Param("", type="string") for name in ("batch", "group", "rules_hash", "sentence", "partition")},
    **BY_HAND,
    "max_active_runs": 16,  # one question does not wait for the answer to another
}
ACTIONS = (
    "acknowledge",
    "assign",
    "comment",
    "resolve",
    "reopen",
    "waive",
    "approve waiver",
    "revoke waiver",
    "replay",
    "discard batch",
)
_FIELDS = {
    "incident": "INC-0007",
    "assignee": "who acts",
    "resolution": "source-fixed, rule-fixed, expected-change, duplicate or false-positive",
    "rule": "the rule to waive, e.g. SAL-014",
    "batch": "only for this batch",
    "until": "the day on which the waiver ends, in UTC",
    "waiver": "WAI-0003",
    "group": "a file of checkpoints/",
    "reason": "why; kept with the step",
}
ACTION_FORM: Options = {
    "params": {"action": Param(ACTIONS[0], enum=list(ACTIONS))}
    | {name: Param(None, type=["null", "string"], description=text) for name, text in _FIELDS.items()},
    **BY_HAND,
}
_DECISION = {
    "reason": Param("", type="string", description="Why; kept with the decision"),
    "quota": Param("100%", type="string", description="How much of the batch may be held back at most"),
}


def decide_held_batch() -> None:
    """Wires decide -> request -> agree -> release -> builds: two people, each asked once; nobody's worker waits."""
    decide = Ask(
        task_id="decide",
        subject="{{ params.batch }} is held: what shall become of it?",
        body="{{ params.sentence }}. See `dataops incidents list {{ params.group }}`.",
        options=[RELEASE, DISCARD, WAIT],
        otherwise=WAIT,
        days=7,
        params=_DECISION,
    )
    request = Decide(task_id="request", question="decide")
    agree = Ask(
        task_id="agree",
        subject="Publish the good rows of {{ params.batch }}, as somebody else asked?",
        body="{{ ti.xcom_pull(task_ids='request') }} needs a second person.",
        options=[AGREE, REFUSE],
        otherwise=REFUSE,
        days=7,
    )
    release = Release(task_id="release", question="agree", request="request", assets=ASSETS)
    decide >> request >> agree >> release >> build_all()[0]
