"""Campaigns: what was sold under special offers and marketing reasons, and whether it changed sales.

**When.** On Mondays at 04:30 UTC, for the week before, and not before its sales are published: until then `sales`
waits, without a slot, and its log says for what. A past week is made up for by a run with its first day as partition
key, or with `{"day": "2014-05-01"}`; effects are always of what is published when it runs.

**Reads** the published layers with the rights of a consumer. **Writes** `marts.campaign*` of group `campaigns`; a
publication is announced as a partition of asset `marts/campaigns`. Between two runs the last one stands.

**When it fails.** A red `sales` waited a day in vain: `dataops status` says what is held or late; clear it when that is
solved. A red `verdict` means that effects do not follow from sales, and those of the last week stand. Any other red
task is infrastructure or a declaration: its log says which, and clearing it is safe at any time.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import A_DAY, PATIENT, POLICY, build, each
from dataops.airflow.reporting import Whole

REACHES = "SELECT MAX(order_date) AS day FROM curated.fct_sales"
with DAG("campaign_analysis", schedule=each("30 4 * * 1"), params=A_DAY, doc_md=__doc__, tags=["marts"], **POLICY):
    Whole(task_id="sales", period="week", reaches=REACHES, **PATIENT) >> build("campaigns")
