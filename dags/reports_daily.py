"""Reports of one day: every file in reports/ whose period is a day, in each language that it is read in.

**When.** Daily at 06:00 UTC, for the day before, and not before what they stand on is published and whole: until then
its `fresh` waits, without a slot, and its log says for what; a report that waits keeps no other waiting. A past day
is made by a run with its first day as partition key, or with `{"day": "2014-05-01"}`.

**Reads** the published layers with the rights of a consumer. **Writes** files below `var/reports/`, once, and a line
for each in the ledger; what is there already is not made again.

**When it fails.** A red `fresh` waited a day in vain: `dataops status` says what is held or late; clear it when that
is solved. A red `make` is infrastructure or a declaration: its log says which, and clearing it is safe at any time.
"""

from airflow.sdk import DAG

from dataops.airflow.blocks import A_DAY, PATIENT, POLICY, each
from dataops.airflow.reporting import make_reports

with DAG("reports_daily", schedule=each("0 6 * * *"), params=A_DAY, doc_md=__doc__, tags=["reports"], **POLICY):
    make_reports("day", **PATIENT)
