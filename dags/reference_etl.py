"""Reference data: customers, people, stores, products, prices, costs, territories, offers.

**When.** Daily at 01:30 UTC, before sales, whose rows refer to these.

**Reads** the 23 tables of group `reference` whole: their modification dates are no watermark, so content is compared.
**Writes** `validated.*` of the group, then `curated.*` for every model whose inputs are there; rejected rows go to
`quarantine.*`. A publication is announced as a partition of asset `validated/reference`, then of `curated/all`.

**When it fails.** A red `verdict` means that the data was held and what stood before still stands: its log names the
first rule and the command to look further; have the source corrected, then clear `extract`. Any other red task is
infrastructure or a declaration: its log says which, and clearing it is safe at any time.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import POLICY, build, each, load

with DAG("reference_etl", schedule=each("30 1 * * *"), doc_md=__doc__, tags=["load", "curated"], **POLICY):
    load("reference", windowed=False) >> build("curated")
