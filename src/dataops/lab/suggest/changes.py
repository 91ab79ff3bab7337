"""What changed and what never did, from one published version of a row to the next: rules about change.

Nothing else can be learnt of them: a batch that is judged again is compared with what stands now, not with what stood.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sqlalchemy.engine import Connection

from dataops.lab.suggest.profile import MOMENTS, NUMBERS, Profile
from dataops.lab.suggest.proposal import LEAST, Proposal, in_sql, words
from dataops.warehouse.tables import history, quoted

KIND = "change"


def proposals(connection: Connection, profile: Profile) -> Iterator[Proposal]:
    """Columns that stay as they are while others change, and numbers or moments that only grow.

    `rows` of a proposal are the changes that it was true of.
    """
    dataset = profile.dataset
    columns = [c for c in profile.columns.values() if c.name not in dataset.key]
    grows = [c.name for c in columns if c.type in (*NUMBERS, *MOMENTS)]
    if not columns:
        return
    counts = [f'COUNT(*) FILTER (WHERE "{c.name}" IS DISTINCT FROM "was {c.name}")' for c in columns]
    counts += [f'COUNT(*) FILTER (WHERE "{name}" < "was {name}")' for name in grows]
    changed = " OR ".join(f'"{c.name}" IS DISTINCT FROM "was {c.name}"' for c in columns)
    row = connection.exec_driver_sql(
        f"SELECT COUNT(*), {', '.join(counts)} FROM ({_versions(profile)}) AS v WHERE _was IS NOT NULL AND ({changed})"
    ).one()
    changes, differ = int(row[0]), dict(zip((c.name for c in columns), row[1:], strict=False))
    falls = dict(zip(grows, row[1 + len(columns) :], strict=True))
    if changes < LEAST:
        return
    for column in columns:
        if not differ[column.name] and column.filled:
            yield _rule(profile, column.name, "IS DISTINCT FROM", "does not change once it is published", changes)
        elif differ[column.name] >= LEAST and falls.get(column.name) == 0:
            yield _rule(profile, column.name, "<", "does not go back", int(differ[column.name]))


def _versions(profile: Profile) -> str:
    """Each published version of a row with the one before it."""
    dataset = profile.dataset
    names, key = quoted(dataset.column_names), quoted(dataset.key)
    before = ", ".join(f'LAG("{name}") OVER w AS "was {name}"' for name in dataset.column_names)
    return (
        f"SELECT *, {before}, LAG(_publication) OVER w AS _was FROM ("
        f"SELECT {names}, _publication FROM {history(dataset)} UNION ALL"
        f" SELECT {names}, _publication FROM {dataset.published_name}) AS u"
        f" WINDOW w AS (PARTITION BY {key} ORDER BY _publication)"
    )


def _rule(profile: Profile, name: str, relation: str, says: str, changes: int) -> Proposal:
    dataset = profile.dataset
    same = " AND ".join(f"o.{key} = b.{key}" for key in dataset.key)
    claim = in_sql(
        KIND, dataset.table, (name,), f"{words(name)} {says}", f"b.{name} {relation} o.{name}", "TRUE",
        f"JOIN {{published}} o ON {same}",
    )  # fmt: skip
    return replace(claim.proposal, rows=changes)
