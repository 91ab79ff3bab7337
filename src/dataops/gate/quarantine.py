"""Which rows of a batch may not be published: those that broke a critical rule, and those that fall with them.

Works on sets, inside the caller's transaction: a temporary table `bad` names rows, `quarantine.<table>` keeps them.
A row falls when the row it refers to is neither published nor accepted in this batch; under the policy
`family: whole` an order is held with all its lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group, Link, Rule
from dataops.gate import families, waived_content
from dataops.gate.verdict import Held, Predicate, RuleResult, judged, unjudged
from dataops.ledger import clock, entries
from dataops.ledger.batches import Batch
from dataops.ledger.enums import Outcome
from dataops.ledger.waivers import Waiver
from dataops.warehouse.tables import absent, broke, equal, quoted

SCRATCH = (
    "bad (table_name VARCHAR, _row BIGINT, rules VARCHAR, fell_with VARCHAR)",
    "exempt (rule_id VARCHAR, _row BIGINT)",
    "discarded (table_name VARCHAR, _row BIGINT, how VARCHAR, moment TIMESTAMP, person VARCHAR, reason VARCHAR)",
)
REASONS = (
    "SELECT _row, COALESCE(STRING_AGG(NULLIF(rules, ''), ',' ORDER BY rules), '') AS rules, MAX(fell_with) AS fell_with"
    " FROM bad WHERE table_name = :t GROUP BY _row"
)
MAX_PASSES = 20


def scratch(group: Group) -> tuple[str, ...]:
    """The temporary tables that judging a batch of the group needs."""
    return (*SCRATCH, *families.scratch(group))


def collect(
    connection: Connection, group: Group, seq: int, results: Sequence[RuleResult], waivers: Sequence[Waiver] = ()
) -> tuple[list[RuleResult], list[Held]]:
    """Fills `bad`; returns results that changed by it, and what is held per dataset.

    Those are the references' results, waived ones, and counts that disagree as errors.
    """
    for name in ("bad", "exempt"):
        connection.exec_driver_sql(f"DELETE FROM {name}")
    found: list[RuleResult] = []
    for dataset in group.datasets:
        failing = [r for r in results if r.rule.table == dataset.table and r.outcome is Outcome.FAILED and r.predicate]
        found += [w for r in failing if (w := _exempted(connection, group, dataset, r, waivers))]
        found += _mark_broken(connection, dataset, failing)
    for dataset in group.datasets:
        found += [_judge_link(connection, group, dataset, link) for link in dataset.links]
    for dataset in group.datasets:
        for rows, why in families.left_behind(connection, group, dataset):
            _insert(connection, dataset.table, "", rows, why)
    _hold_discarded(connection, group.datasets, seq)
    _close(connection, group)
    return found, [_held(connection, d) for d in group.datasets]


def _exempted(
    connection: Connection, group: Group, dataset: Dataset, result: RuleResult, waivers: Sequence[Waiver]
) -> RuleResult | None:
    """Names the failing rows that waivers let pass; the rule is waived when these are all."""
    covering = [waiver for waiver in waivers if waiver.rule_id == result.rule.id]
    if not covering or result.predicate is None:
        return None
    used: list[str] = []
    seen: list[str] = []  # by who asked before, and after, earlier waivers of this batch let rows pass
    for waiver in sorted(covering, key=lambda waiver: waiver.batch is not None):
        if waiver.batch:
            seen = [*seen[:1], waived_content.failing(connection, group, result)]
            if waiver.content not in seen:
                continue
        where, values = _of_keys(dataset, waiver.keys)
        done = connection.execute(
            text(
                f"INSERT INTO exempt SELECT '{result.rule.id}', _row FROM candidate.{dataset.table} AS c"
                f" WHERE {where} AND _row IN (SELECT _row FROM candidate.{dataset.table}"
                f" WHERE {_literal(result.predicate.condition)})"
            ),
            values,
        )
        used += [waiver.waiver_id] if done.rowcount else []
    query = text("SELECT COUNT(DISTINCT _row) FROM exempt WHERE rule_id = :rule")
    exempt = int(connection.execute(query, {"rule": result.rule.id}).scalar_one())
    outcome = Outcome.WAIVED if exempt == result.failing else Outcome.FAILED
    return replace(result, outcome=outcome, waivers=tuple(used)) if used else None


def _literal(sql: str) -> str:
    """A colon in a condition is no parameter."""
    return sql.replace(":", "\\:")


def _of_keys(dataset: Dataset, keys: Sequence[Sequence[str]]) -> tuple[str, dict[str, str]]:
    """Condition on `c` that its key, as text, is among these; none named: any."""
    if not keys:
        return "TRUE", {}
    parts: list[str] = []
    values: dict[str, str] = {}
    for n, key in enumerate(keys):
        parts.append(" AND ".join(f'CAST(c."{name}" AS VARCHAR) = :k{n}_{i}' for i, name in enumerate(dataset.key)))
        values |= {f"k{n}_{i}": str(value) for i, value in enumerate(key)}
    return f"({' OR '.join(parts)})", values


def _mark_broken(connection: Connection, dataset: Dataset, failing: Sequence[RuleResult]) -> list[RuleResult]:
    """One scan for all conditions; a query of rows has its own statement. Counts must equal the engine's."""
    conditions = [r for r in failing if r.predicate and r.predicate.kind == "where"]
    counted = _scan(connection, dataset, conditions) if conditions else {}
    for result in failing:
        if result.predicate and result.predicate.kind == "rows":
            counted[result.rule.id] = _insert(connection, dataset.table, result.rule.id, result.predicate.sql)
            connection.exec_driver_sql(
                f"DELETE FROM bad WHERE rules = '{result.rule.id}' AND {_is_exempt(result.rule)}"
            )
    return [
        unjudged(r.rule, f"{r.rule.engine} counts {r.failing} failing rows, the platform {counted[r.rule.id]}")
        for r in failing
        if r.failing is not None and counted[r.rule.id] != r.failing
    ]


def _scan(connection: Connection, dataset: Dataset, conditions: Sequence[RuleResult]) -> dict[str, int]:
    """Adds the rows for which any condition is true, with the rules; how many each found, exempt ones among them."""
    broken = {r.rule.id: f"COALESCE({r.predicate.sql}, FALSE)" for r in conditions if r.predicate}
    named = ", ".join(f"CASE WHEN {sql} THEN '{rule}' END" for rule, sql in broken.items())
    connection.exec_driver_sql(
        f"INSERT INTO bad SELECT '{dataset.table}', _row, CONCAT_WS(',', {named}), NULL"
        f" FROM candidate.{dataset.table} WHERE {' OR '.join(broken.values())}"
    )
    own = f"FROM bad WHERE table_name = '{dataset.table}'"
    counts = ", ".join(f"COUNT(*) FILTER (WHERE {broke('rules', _among(rule))})" for rule in broken)
    counted = connection.exec_driver_sql(f"SELECT {counts} {own}").one()
    exempted = set(connection.exec_driver_sql("SELECT DISTINCT rule_id FROM exempt").scalars())
    for rule in (r.rule for r in conditions if r.rule.id in exempted):
        others = f"TRIM(BOTH ',' FROM REPLACE(',' || rules || ',', {_among(rule.id)}, ','))"
        connection.exec_driver_sql(
            f"UPDATE bad SET rules = {others} WHERE table_name = '{dataset.table}'"
            f" AND {broke('rules', _among(rule.id))} AND {_is_exempt(rule)}"
        )
    connection.exec_driver_sql(f"DELETE {own} AND rules = ''")
    return {rule: int(count) for rule, count in zip(broken, counted, strict=True)}


def _among(rule: str) -> str:
    return f"',{rule},'"


def _is_exempt(rule: Rule) -> str:
    return f"_row IN (SELECT _row FROM exempt WHERE rule_id = '{rule.id}')"


def _insert(connection: Connection, table: str, rules: str, rows: str, fell_with: str = "NULL") -> int:
    """Adds the rows of the query `rows` (one column, `_row`) to `bad`; returns how many."""
    done = connection.exec_driver_sql(
        f"INSERT INTO bad SELECT DISTINCT '{table}', _row, '{rules}', {fell_with} FROM ({rows}) AS q"
    )
    return int(done.rowcount)


def orphans(group: Group, dataset: Dataset, link: Link) -> str:
    """Query of `_row`: rows whose parent is neither published nor delivered in this batch."""
    present = " AND ".join(f'c."{name}" IS NOT NULL' for name in link.columns)
    return (
        f"SELECT c._row FROM candidate.{dataset.table} AS c WHERE {present} AND {_absent(group, link, accepted=False)}"
    )


def _absent(group: Group, link: Link, *, accepted: bool) -> str:
    """Condition on `c`: the parent is not published and (with `accepted`: not acceptably) not in the batch."""
    target = group.target(link)
    key = target.key
    published = f"SELECT 1 FROM {target.published_layer}.{target.table} AS p WHERE {equal('p', 'c', key, link.columns)}"
    condition = f"NOT EXISTS ({published})"
    if target.table in group.tables:
        unheld = f" AND {_not_bad('p', target)}" if accepted else ""
        delivered = f"SELECT 1 FROM candidate.{target.table} AS p WHERE {equal('p', 'c', key, link.columns)}{unheld}"
        condition += f" AND NOT EXISTS ({delivered})"
    return condition


def _judge_link(connection: Connection, group: Group, dataset: Dataset, link: Link) -> RuleResult:
    query = orphans(group, dataset, link)
    if link.rule.severity == "critical":
        count = _insert(connection, dataset.table, link.rule.id, query)
    else:
        count = int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM ({query}) AS q").scalar_one())
    return judged(link.rule, count == 0, observed=str(count), failing=count, predicate=Predicate("rows", query))


def _close(connection: Connection, group: Group) -> None:
    """Lets rows fall with their parents and families until nothing changes."""
    if not _any_bad(connection):
        return
    for _ in range(MAX_PASSES):
        fallen = sum(_fall_with_parents(connection, group, d) for d in group.datasets)
        fallen += sum(
            _insert(connection, table, "", rows, why) for table, rows, why in families.falling(connection, group)
        )
        if not fallen:
            return
    raise RuntimeError(f"closure of {group.name} did not settle after {MAX_PASSES} passes")


def _any_bad(connection: Connection) -> bool:
    return bool(connection.exec_driver_sql("SELECT COUNT(*) FROM bad").scalar_one())


def _fall_with_parents(connection: Connection, group: Group, dataset: Dataset) -> int:
    """Rows whose parent is in this batch but held, with no older version published."""
    fallen = 0
    for link in dataset.links:
        if link.rule.severity == "critical" and link.to in group.tables:
            present = " AND ".join(f'c."{name}" IS NOT NULL' for name in link.columns)
            rows = (
                f"SELECT c._row FROM candidate.{dataset.table} AS c WHERE {present}"
                f" AND {_absent(group, link, accepted=True)} AND {_not_bad('c', dataset)}"
            )
            fallen += _insert(connection, dataset.table, "", rows, f"'{link.to}'")
    return fallen


def _not_bad(alias: str, dataset: Dataset) -> str:
    return absent(f"{alias}._row", f"SELECT _row FROM bad WHERE table_name = '{dataset.table}'")


def _held(connection: Connection, dataset: Dataset) -> Held:
    row = connection.execute(
        text(
            "SELECT COUNT(*) FILTER (WHERE broke), COUNT(*) FILTER (WHERE NOT broke) FROM"
            " (SELECT _row, BOOL_OR(rules <> '') AS broke FROM bad WHERE table_name = :t GROUP BY _row) AS q"
        ),
        {"t": dataset.table},
    ).one()
    return Held(dataset.table, 0, int(row[0]), int(row[1]))


def outside(group: Group, dataset: Dataset, batch: Batch) -> str | None:
    """Query of `_row`: rows outside the batch's window, which waited in quarantine and were asked for again."""
    platform = dataset.contract.platform
    if batch.window is None or not (platform.cursor or platform.follows):
        return None
    start, end = (f"TIMESTAMP '{bound.isoformat(sep=' ')}'" for bound in (batch.window.start, batch.window.end))
    root = dataset if platform.cursor else group.dataset(str(platform.follows))
    moment = f'p."{root.contract.platform.cursor}"'
    waited = f"({quoted(root.key, 'p')}) IN ({entries.asked(group, root)})"
    there = f"WHERE ({moment} < {start} OR {moment} >= {end}) AND {waited}"
    if root is dataset:
        return f"SELECT p._row FROM candidate.{root.table} AS p {there}"
    columns = next(link.columns for link in dataset.links if link.to == root.table)
    return (
        f"SELECT c._row FROM candidate.{dataset.table} AS c JOIN candidate.{root.table} AS p"
        f" ON {equal('p', 'c', root.key, columns)} {there}"
    )


def without_old(connection: Connection, group: Group, batch: Batch, held: Sequence[Held]) -> list[Held]:
    """Tells broken rows that waited already from new ones: yesterday's bad order is no reason to hold today's."""
    found = []
    for item in held:
        query = outside(group, group.dataset(item.table), batch) if item.broke else None
        again = 0
        if query:
            rows = f"SELECT DISTINCT _row FROM bad WHERE table_name = '{item.table}' AND rules <> ''"
            counted = f"SELECT COUNT(*) FROM ({rows}) AS b WHERE _row IN ({query})"
            again = int(connection.exec_driver_sql(counted).scalar_one())
        found.append(replace(item, again=again))
    return found


def _hold_discarded(connection: Connection, datasets: Iterable[Dataset], seq: int) -> None:
    """What a steward discarded of this batch stays held, whatever another judgement says of it."""
    for dataset in datasets:
        connection.exec_driver_sql(
            f"INSERT INTO bad SELECT '{dataset.table}', _row, _rules, COALESCE(_fell_with, 'discarded')"
            f" FROM quarantine.{dataset.table} AS q WHERE _batch = {int(seq)} AND _closed = 'discarded'"
            f" AND {_not_bad('q', dataset)}"
        )


def keep(connection: Connection, datasets: Iterable[Dataset], seq: int) -> None:
    """Writes the held rows with all their reasons to `quarantine`, replacing those of an earlier judgement.

    Who discarded a row, and why, is kept.
    """
    for dataset in datasets:
        connection.exec_driver_sql(
            f"INSERT INTO discarded SELECT '{dataset.table}', _row, _closed, _closed_at, _closed_by, _closed_reason"
            f" FROM quarantine.{dataset.table} WHERE _batch = {int(seq)} AND _closed = 'discarded'"
        )
        connection.exec_driver_sql(f"DELETE FROM quarantine.{dataset.table} WHERE _batch = {int(seq)}")
        columns = [*dataset.column_names, "_row", "_problems"]
        connection.execute(
            text(
                f"INSERT INTO quarantine.{dataset.table} ({quoted(columns)}, _batch, _rules, _fell_with, _since,"
                " _closed, _closed_at, _closed_by, _closed_reason)"
                f" SELECT {quoted(columns, 'c')}, {int(seq)}, b.rules, b.fell_with, CAST(:now AS TIMESTAMP),"
                " d.how, d.moment, d.person, d.reason"
                f" FROM candidate.{dataset.table} AS c JOIN ({REASONS}) AS b ON b._row = c._row"
                " LEFT JOIN discarded AS d ON d.table_name = :t AND d._row = c._row"
            ),
            {"t": dataset.table, "now": clock.now()},
        )


def excluded(dataset: Dataset, seq: int) -> str:
    """Query of the `_row`s of a batch that are held."""
    return f"SELECT _row FROM quarantine.{dataset.table} WHERE _batch = {int(seq)}"


def readable(connection: Connection, dataset: Dataset, rule: Rule) -> RuleResult:
    """The platform's own rule: every value could be read as its declared type."""
    count = int(
        connection.exec_driver_sql(
            f"SELECT COUNT(*) FROM candidate.{dataset.table} WHERE _problems IS NOT NULL"
        ).scalar_one()
    )
    predicate = Predicate("where", "_problems IS NOT NULL")
    return judged(rule, count == 0, observed=str(count), failing=count, predicate=predicate)
