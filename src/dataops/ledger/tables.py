"""The tables of schema `ops`; only this room reads and writes them.

Every row is written in the same transaction as what it records, so the ledger is never ahead of or behind the data.
Order comes from `seq`, never from a clock; `numbering` gives it.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData(schema="ops")

settings = sa.Table(
    "settings", metadata, sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.String, nullable=False)
)

numbers = sa.Table(  # what was given is never given again, whatever becomes of it; see numbering
    "numbers",
    metadata,
    sa.Column("name", sa.String, nullable=False),  # no key: an index on what is updated makes DuckDB 1.5 abort
    sa.Column("given", sa.BigInteger, nullable=False),  # the process when COMMIT finds no room on the disk
)

batches = sa.Table(
    "batches",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("batch_id", sa.String, nullable=False, unique=True),
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("window_start", sa.DateTime),
    sa.Column("window_end", sa.DateTime),
    sa.Column("state", sa.String, nullable=False),  # a BatchState: its life
    sa.Column("verdict", sa.String),  # a VerdictName: what the gate said last; NULL before
    sa.Column("reason", sa.String),
    sa.Column("rules_hash", sa.String),
    sa.Column("waivers", sa.JSON),  # ids of the waivers that the verdict rests on
    sa.Column("horizon", sa.BigInteger),  # newest publication when it was read or built
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("sealed_at", sa.DateTime),
    sa.Column("judged_at", sa.DateTime),
)

batch_datasets = sa.Table(
    "batch_datasets",
    metadata,
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("scope", sa.String, nullable=False),  # whole, window, keys: which published rows the batch speaks for
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("controls", sa.JSON, nullable=False),  # control totals as received, exact, as text
    sa.Column("notes", sa.JSON, nullable=False),  # e.g. columns of the source that the contract does not list
)

check_results = sa.Table(
    "check_results",
    metadata,
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("rule_id", sa.String, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("engine", sa.String, nullable=False),
    sa.Column("severity", sa.String, nullable=False),
    sa.Column("outcome", sa.String, nullable=False),  # an Outcome
    sa.Column("observed", sa.String),
    sa.Column("failing", sa.BigInteger),  # rows that break the rule; NULL where a rule names no rows
    sa.Column("checked", sa.BigInteger),
    sa.Column("predicate", sa.String),  # SQL that is true for a failing row, or a query of their _row
    sa.Column("sample", sa.JSON),
    sa.Column("problem", sa.String),
    sa.Column("rules_hash", sa.String, nullable=False),
    sa.Column("judged_at", sa.DateTime, nullable=False),
)

publications = sa.Table(
    "publications",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("publication_id", sa.String, nullable=False, unique=True),
    sa.Column("attempt", sa.String, nullable=False, unique=True),  # made by the client before BEGIN
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("batch", sa.BigInteger, unique=True),  # at most one publication of a batch
    sa.Column("kind", sa.String, nullable=False),  # a PublicationKind
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("rules_hash", sa.String, nullable=False),
    sa.Column("previous", sa.String),
    sa.Column("window_end", sa.DateTime),
    sa.Column("reason", sa.String),
    sa.Column("waivers", sa.JSON),  # the waivers it rests on, whole, as they stood
    sa.Column("receipt", sa.String),  # sha256 of this record and of the previous one's; see receipts
    sa.Column("previous_receipt", sa.String),  # of the publication before it, of whatever group
    sa.Column("results", sa.String),  # sha256 of the rules' results that let it pass
    sa.Column("published_at", sa.DateTime, nullable=False),
)

publication_datasets = sa.Table(
    "publication_datasets",
    metadata,
    sa.Column("publication", sa.BigInteger, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("new", sa.BigInteger, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("unchanged", sa.BigInteger, nullable=False),
    sa.Column("quarantined", sa.BigInteger, nullable=False),
    sa.Column("deleted", sa.BigInteger, nullable=False),
    sa.Column(
        "retained", sa.BigInteger, nullable=False
    ),  # gone at the source, kept because published rows refer to them
    sa.Column("controls", sa.JSON, nullable=False),
    sa.Column("published_controls", sa.JSON),  # the parts of `controls`: of rows new and changed,
    sa.Column("unchanged_controls", sa.JSON),  # of rows that stood already,
    sa.Column("quarantined_controls", sa.JSON),  # and of rows kept back
    sa.Column("written", sa.String),  # digests of the rows it wrote,
    sa.Column("superseded", sa.String),  # of those it moved to history,
    sa.Column("standing", sa.String),  # and of all that stand after it; see row_proof
    sa.Column("salt", sa.String),
    sa.Column("commitment", sa.String),  # sha256 of salt and digests: what the receipt covers of the four
)

incidents = sa.Table(
    "incidents",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("incident_id", sa.String, nullable=False, unique=True),
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("fingerprint", sa.String),  # one per root cause: group, dataset and rule
    sa.Column("kind", sa.String),  # an IncidentKind
    sa.Column("state", sa.String, nullable=False),  # an IncidentState
    sa.Column("assignee", sa.String),
    sa.Column("sentence", sa.String, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("times", sa.BigInteger, nullable=False),  # how often it was seen
    sa.Column("opened_at", sa.DateTime, nullable=False),
    sa.Column("last_seen_at", sa.DateTime, nullable=False),
    sa.Column("resolved_at", sa.DateTime),
    sa.Column("resolution", sa.String),
    sa.Column("resolution_reason", sa.String),  # one of the checkpoint's reasons; NULL when a clean batch solved it
)

incident_events = sa.Table(
    "incident_events",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("incident", sa.BigInteger, nullable=False),
    sa.Column("happened_at", sa.DateTime, nullable=False),
    sa.Column("who", sa.String, nullable=False),  # a person, or the gate
    sa.Column("action", sa.String, nullable=False),  # opened, seen, acknowledged, assigned, commented, resolved, …
    sa.Column("text", sa.String),
)

waivers = sa.Table(
    "waivers",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("waiver_id", sa.String, nullable=False, unique=True),
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("rule_id", sa.String),  # NULL: it raises the group's quota
    sa.Column("table_name", sa.String),
    sa.Column("batch", sa.String),  # only for this batch; NULL: for every batch until it ends
    sa.Column("rules_hash", sa.String),  # for one batch: the rules under which it was held,
    sa.Column("content", sa.String),  # and what was held of it, see waived_content
    sa.Column("keys", sa.JSON),  # only for rows of these keys, lists in the order of the dataset's key
    sa.Column("quota", sa.Float),  # share of rows and of money that may be held instead of the checkpoint's
    sa.Column("owner", sa.String, nullable=False),
    sa.Column("reason", sa.String, nullable=False),
    sa.Column("approver", sa.String),  # a second person; needed for what is critical
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("approved_at", sa.DateTime),
    sa.Column("until", sa.DateTime, nullable=False),  # an instant in UTC; at it the waiver has ended
    sa.Column("revoked_at", sa.DateTime),
    sa.Column("revoked_by", sa.String),
)

metrics = sa.Table(
    "metrics",
    metadata,
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("column_name", sa.String),  # NULL: of the whole dataset
    sa.Column("metric", sa.String, nullable=False),  # rows, null_share, distinct, min, max, mean, age_hours, share:<v>
    sa.Column("value", sa.Float),
    sa.Column("window_end", sa.DateTime),
    sa.Column("excluded", sa.Boolean),  # not for training: the batch was held, or an incident says so
)

baselines = sa.Table(
    "baselines",
    metadata,
    sa.Column("rule_id", sa.String, primary_key=True),
    sa.Column("share", sa.Float, nullable=False),  # accepted share of failing rows; only ever lowered
    sa.Column("checked", sa.BigInteger),  # of how many rows
    sa.Column("batch", sa.BigInteger, nullable=False),  # the one it was seen in
    sa.Column("set_at", sa.DateTime, nullable=False),
)


announcements = sa.Table(
    "announcements",
    metadata,
    sa.Column("publication", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("partition", sa.String, nullable=False),
    sa.Column("announced_at", sa.DateTime, nullable=False),
)

pickups = sa.Table(
    "pickups",
    metadata,
    sa.Column("consumer", sa.String, nullable=False),  # a DAG that starts from publications
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("publication", sa.BigInteger, nullable=False),  # the newest one it has started from
    sa.Column("picked_up_at", sa.DateTime, nullable=False),
)

rehearsals = sa.Table(
    "rehearsals",
    metadata,
    sa.Column("group_name", sa.String, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("waiting", sa.BigInteger, nullable=False),  # rows in quarantine when a replay was tried
    sa.Column("passing", sa.BigInteger),  # of them would have passed; NULL: could not be judged
    sa.Column("tried_at", sa.DateTime, nullable=False),
)

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("report_id", sa.String, nullable=False),  # report, period, publication, language
    sa.Column("report", sa.String, nullable=False),
    sa.Column("period", sa.String, nullable=False),
    sa.Column("language", sa.String, nullable=False),
    sa.Column("publication", sa.BigInteger, nullable=False),  # the newest one that it stands on
    sa.Column("state", sa.String, nullable=False),
    sa.Column("headline", sa.String, nullable=False),
    sa.Column("files", sa.JSON, nullable=False),  # name, format, bytes and sha256 of each
    sa.Column("made_at", sa.DateTime, nullable=False),
)

restatements = sa.Table(
    "restatements",
    metadata,
    sa.Column("report", sa.String, nullable=False),
    sa.Column("period", sa.String, nullable=False),
    sa.Column("metric", sa.String, nullable=False),
    sa.Column("cell", sa.String, nullable=False),  # of what the figure is; empty: of the whole
    sa.Column("before", sa.String),
    sa.Column("after", sa.String),
    sa.Column("told", sa.BigInteger, nullable=False),  # the publication that the report was made of
    sa.Column("publication", sa.BigInteger, nullable=False),  # the newest one that changed it
    sa.Column("causes", sa.JSON, nullable=False),
    sa.Column("rows", sa.JSON, nullable=False),
    sa.Column("rows_changed", sa.BigInteger, nullable=False),
    sa.Column("noted_at", sa.DateTime, nullable=False),
)

audits = sa.Table(
    "audits",
    metadata,
    sa.Column("audited_at", sa.DateTime, nullable=False),
    sa.Column("source", sa.String),  # that it was compared with; NULL: with none
    sa.Column("problem", sa.String),  # why not all of it could be looked at
    sa.Column("publication", sa.BigInteger, nullable=False),  # the newest one when it began
)

audit_findings = sa.Table(
    "audit_findings",
    metadata,
    sa.Column("audited_at", sa.DateTime, nullable=False),
    sa.Column("kind", sa.String, nullable=False),  # a FindingKind
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("says", sa.String, nullable=False),
    sa.Column("rows", sa.BigInteger),  # how many; NULL where it is not about rows
    sa.Column("sample", sa.JSON, nullable=False),  # keys of the first few
)

audit_scores = sa.Table(
    "audit_scores",
    metadata,
    sa.Column("audited_at", sa.DateTime, nullable=False),
    sa.Column("table_name", sa.String, nullable=False),
    sa.Column("dimension", sa.String, nullable=False),  # a Dimension
    sa.Column("held", sa.BigInteger, nullable=False),  # of what was checked
    sa.Column("checked", sa.BigInteger, nullable=False),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String, nullable=False),  # a NoticeKind
    sa.Column("what", sa.String, nullable=False),  # the step, the publication, the report; once each
    sa.Column("subject", sa.String, nullable=False),  # what is told in order: an incident, a period of a report
    sa.Column("happened_at", sa.DateTime, nullable=False),
    sa.Column("routed_at", sa.DateTime),  # when it was found whom it reaches
    sa.Column("doubted", sa.Boolean),  # the ledger was restored since: it may have been sent
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("what", sa.String, nullable=False),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("channel", sa.String, nullable=False),  # a Channel
    sa.Column("whom", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False),  # a DeliveryState
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("due_at", sa.DateTime, nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("tried_at", sa.DateTime),
    sa.Column("settled_at", sa.DateTime),
    sa.Column("remote", sa.String),  # what the receiver calls it
    sa.Column("problem", sa.String),
    sa.Column("who", sa.String),  # let it be tried again, or gave it up
    sa.Column("reason", sa.String),
)

events = sa.Table(  # of lineage, whole, until they were taken or given up
    "events",
    metadata,
    sa.Column("what", sa.String, nullable=False),  # as in outbox or deliveries
    sa.Column("content", sa.String, nullable=False),
)

batch_roots = sa.Table(  # the run of a scheduler that a batch is a part of, as lineage names it
    "batch_roots",
    metadata,
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("namespace", sa.String, nullable=False),
    sa.Column("job", sa.String, nullable=False),
    sa.Column("run", sa.String, nullable=False),
)

COUNTED = (batches, incidents, incident_events, waivers, outbox, deliveries)
"""Tables whose numbers are given by `numbering`, once each."""

readings = sa.Table(  # where a live source stood when a batch was read from it; see `sources.port.Position`
    "readings",
    metadata,
    sa.Column("batch", sa.BigInteger, nullable=False),
    sa.Column("identity", sa.String, nullable=False),
    sa.Column("mark", sa.BigInteger, nullable=False),
    sa.Column("now", sa.DateTime, nullable=False),
    sa.Column("oldest", sa.BigInteger, nullable=False),
    sa.Column("next", sa.BigInteger, nullable=False),
    sa.Column("deletions", sa.BigInteger),  # up to which number the source keeps deletions, where it does
    sa.Column("settled", sa.DateTime, nullable=False),  # until when nothing changes unseen any more
)
