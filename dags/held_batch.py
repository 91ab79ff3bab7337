"""A batch that the gate holds: a steward decides in Airflow's own pages what shall become of it.

**When.** Started by `ask_steward` of the load that was held, once per batch and rules; it does not hold up other loads.

**Reads** the answers given under Required actions, and the ledger, in which every answer is looked at again: the batch
must still be held under the same rules, and who agrees must be another person than who asked.
**Writes** the decision with the person's name. *release with waiver* publishes the good rows of the batch when a second
person agrees, announces them like the load itself, and builds `curated.*`; *discard* gives the batch up; *wait*, also
after seven days without an answer, leaves it to a corrected delivery. In all cases nothing is lost.

**When it fails.** The log of the red task says why a decision could not be carried out, e.g. because the batch was
delivered again in the meantime; nothing was published then. Start over from the incident: `dataops incidents list`.
"""

from airflow.sdk import DAG

from dataops.airflow.questions import HELD, decide_held_batch

with DAG("held_batch", schedule=None, doc_md=__doc__, **HELD):
    decide_held_batch()
