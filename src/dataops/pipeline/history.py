"""Reading what a publication published, and going back to it.

Publications are numbered across groups, so one number is a consistent view of all of them.
"""

from __future__ import annotations

import uuid

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.declared.errors import DataRejected, DeclarationError, PlatformError
from dataops.declared.failpoint import failpoint
from dataops.ledger import entries, numbering, publications, readings
from dataops.ledger.enums import PublicationKind
from dataops.ledger.publications import Counts, New, Publication
from dataops.ledger.schema import writing
from dataops.ledger.workspace import Workspace
from dataops.pipeline import delta
from dataops.pipeline.publish import Published, outcome_of, write
from dataops.warehouse import CommitUnknownError
from dataops.warehouse.tables import controls, dangling, distinct, equal, history, place, quoted


def as_of(dataset: Dataset, seq: int) -> str:
    """Subquery of the dataset's rows as they stood when publication number `seq` had been made."""
    columns = quoted(dataset.column_names)
    return (
        f"(SELECT {columns}, _publication FROM {place(dataset)} WHERE _publication <= {seq}"
        f" UNION ALL SELECT {columns}, _publication FROM {history(dataset)}"
        f" WHERE _publication <= {seq} AND _superseded > {seq})"
    )


def required(connection: Connection, publication_id: str) -> Publication:
    """The publication. Raises DeclarationError naming the newest ones when there is none."""
    publication = publications.find(connection, publication_id)
    if publication is None:
        newest = ", ".join(p.publication_id for p in publications.newest(connection, None, 5)) or "none yet"
        raise DeclarationError(f"no publication {publication_id!r}; the newest are: {newest}")
    return publication


def roll_back(work: Workspace, group: Group, publication_id: str, reason: str) -> Published:
    """Makes the group stand as `publication_id` left it, as a new publication. The caller holds the group's lock.

    Raises DeclarationError for an unknown publication, DataRejected when another group's rows refer to rows that
    would go. A COMMIT that raised is looked up, as when publishing.
    """
    attempt = str(uuid.uuid4())
    try:
        done = _roll_back(work, group, publication_id, reason, attempt)
    except CommitUnknownError as error:
        done = _look_up(work, group, attempt, error.reason)
    failpoint("roll_back_committed")
    return done


def _look_up(work: Workspace, group: Group, attempt: str, reason: str) -> Published:
    made = outcome_of(work, attempt, f"the roll-back of {group.name}")
    if made is None:
        raise PlatformError(f"the roll-back of {group.name} was not committed; it is safe to run again.\n{reason}")
    return Published("published", group.name, "", made.publication_id)


def _roll_back(work: Workspace, group: Group, publication_id: str, reason: str, attempt: str) -> Published:
    with writing(work.warehouse, scratch=delta.scratch(group.datasets)) as connection:
        work.warehouse.serialize_publications(connection)
        target = required(connection, publication_id)
        if target.group != group.name:
            raise DeclarationError(f"{publication_id} is a publication of {target.group}, not of {group.name}")
        seq, goal = numbering.next_publication(connection), target.seq
        removed = {d.table: _remove(connection, d, goal, seq) for d in reversed(group.datasets)}
        counts = [_restore(connection, d, goal, seq, removed[d.table]) for d in group.datasets]
        _require_closure(connection, group)
        opened = sum(entries.reopen(connection, d, goal) for d in group.datasets)
        if not opened and not any(c.new or c.deleted for c in counts):
            return Published("unchanged", group.name, "", target.publication_id)
        new = New(
            seq, attempt, group.name, PublicationKind.ROLLBACK, target.rules_hash, None, target.window_end, reason
        )
        made = write(connection, group, new, counts).publication_id
        readings.forget_since(connection, group.name, goal)
        failpoint("rolled_back")
    return Published("published", group.name, "", made, tuple(counts))


def _remove(connection: Connection, dataset: Dataset, goal: int, seq: int) -> int:
    """Moves the rows that were not there, or not in this version, to history."""
    keys = (
        f"SELECT {quoted(dataset.key, 'v')} FROM {place(dataset)} AS v WHERE v._publication > {goal} AND NOT EXISTS"
        f" (SELECT 1 FROM {as_of(dataset, goal)} AS t WHERE {equal('t', 'v', dataset.key)}"
        f" AND NOT ({distinct('t', 'v', dataset.column_names)}))"
    )
    connection.exec_driver_sql(f"INSERT INTO {delta.leaving(dataset)} {keys}")
    return delta.supersede(connection, dataset, f"SELECT * FROM {delta.leaving(dataset)}", seq, "rolled back")


def _restore(connection: Connection, dataset: Dataset, goal: int, seq: int, removed: int) -> Counts:
    """Brings back the versions that stood then and do not stand now."""
    columns = quoted(dataset.column_names)
    done = connection.exec_driver_sql(
        f"INSERT INTO {place(dataset)} ({columns}, _publication) SELECT {quoted(dataset.column_names, 't')}, {seq}"
        f" FROM {as_of(dataset, goal)} AS t WHERE NOT EXISTS"
        f" (SELECT 1 FROM {place(dataset)} AS v WHERE {equal('v', 't', dataset.key)})"
    )
    rows, totals = controls(connection, dataset, place(dataset))
    stood = controls(connection, dataset, f"(SELECT * FROM {place(dataset)} WHERE _publication < {seq})")[1]
    return Counts(
        dataset.table,
        rows,
        new=int(done.rowcount),
        unchanged=rows - int(done.rowcount),
        deleted=removed,
        controls=totals,
        unchanged_controls=stood,
    )


def _require_closure(connection: Connection, group: Group) -> None:
    """No row refers to one that is not there: neither others' to what would go, nor what would return to what went."""
    for child in (*group.datasets, *group.inside):
        for link in (link for link in child.links if link.rule.severity == "critical"):
            if child.table not in group.tables and link.to not in group.tables:
                continue
            target = group.target(link)
            without = dangling(link.columns, place(target), target.key)
            count = connection.exec_driver_sql(f"SELECT COUNT(*) FROM {place(child)} AS c WHERE {without}").scalar_one()
            if count:
                raise DataRejected(_open_end(group, child, target, count))


def _open_end(group: Group, child: Dataset, target: Dataset, count: int) -> str:
    if target.table in group.tables:
        return (
            f"{count} published rows of {child.name} refer to rows of {target.table} that would go.\n"
            f"Nothing was changed; roll back {child.group} first."
        )
    return (
        f"{count} rows of {child.name} that would return refer to rows of {target.table} that are not published any"
        f" more.\nNothing was changed; roll back {target.group} first."
    )
