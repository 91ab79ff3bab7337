"""Sends what waits in the outbox: Slack messages, mails, reports to their receivers, digests; then events of lineage.

**When.** Every minute.

**Reads** the ledger, the archive of reports, and the connections `slack_default` and `smtp_default`; what goes by a
channel without a connection stays in the outbox. **Writes** messages to people, events to the lineage server that
DATAOPS_LINEAGE_URL names (for half a minute at most), and what became of each into the ledger. What a receiver does not
take now is tried again, later each time; what it refuses for good is parked and opens an incident. No batch, verdict or
publication waits for this.

**When it fails.** Nothing is lost: the next run goes on where this one stood. `dataops outbox list` says what waits and
why; `dataops outbox retry` and `drop` decide about what is parked.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import POLICY, each
from dataops.airflow.upkeep import Relay

EVERY = each("* * * * *", "%Y-%m-%dT%H:%M")
with DAG("outbox", schedule=EVERY, doc_md=__doc__, tags=["upkeep"], **POLICY):
    Relay(task_id="relay")
