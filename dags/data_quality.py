"""Looks at what was published and kept back: whether it still is what was published, and what the source has by now.

**When.** Daily at 04:00 UTC.

**Reads** the ledger, the published layers, quarantine and the source. **Writes** what it found, scorecards and what
of each promise is spent, for `dataops audit --last`, with an incident for each dataset in which something was found
and for each promise in danger; and how many of the waiting rows would pass now, for `dataops quarantine list`.
`reconcile` finds what no load has seen of a live source, late commits and deletions, and loads those days: through the
gate, as any load; the watchdog announces what it publishes. Of files there is nothing to find.

**When it fails.** What an audit finds fails no task: it is an incident. A red `receipts` means that the ledger or a
published table was changed by hand; the first link that does not hold: `dataops publications verify`. A red `audit`,
`reconcile` or `would_pass` is infrastructure; clearing it is safe at any time.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import POLICY, each
from dataops.airflow.upkeep import Audit, Prove, Reconcile, Rehearse

with DAG("data_quality", schedule=each("0 4 * * *"), doc_md=__doc__, tags=["upkeep"], **POLICY):
    Rehearse(task_id="would_pass")
    Prove(task_id="receipts")
    Reconcile(task_id="reconcile")
    Audit(task_id="audit")
