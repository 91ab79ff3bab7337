"""What a steward can do about incidents, waivers and quarantine, as a form.

**When.** Only by hand: *Trigger*, choose the action, fill in what it needs. Airflow's login says who acts.

**Reads** the form. **Writes** what `dataops incidents`, `dataops waivers` and `dataops quarantine replay` write, with
the person's name: acknowledge, assign, comment, resolve and reopen need `incident`; waive needs `rule`, `until` and
`reason`; approve and revoke need `waiver`; replay needs `group`; discard batch needs `batch` and `reason`.

**When it fails.** The log says which field lacks or why the step is refused; nothing was changed.
"""

from airflow.sdk import DAG

from dataops.airflow.questions import ACTION_FORM
from dataops.airflow.steward import Act

with DAG("steward_actions", schedule=None, doc_md=__doc__, **ACTION_FORM):
    Act(task_id="act")
