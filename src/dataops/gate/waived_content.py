"""What somebody saw who allows one batch to be published: the rows held of it, as a digest.

An approval is for these rows. If another judgement holds others, it does not count for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from sqlalchemy.engine import Connection

from dataops.declared.catalog import Dataset, Group
from dataops.gate.verdict import RuleResult
from dataops.ledger import results
from dataops.warehouse import digest
from dataops.warehouse.tables import absent, broke


def kept(connection: Connection, group: Group, seq: int, rule: str | None) -> str:
    """Of the rows that quarantine keeps of a batch: those that broke `rule`, or all of them.

    A rule that names no rows is known by what it observed.
    """
    where = f"_batch = {int(seq)}"
    if rule is not None:
        where += f" AND {broke('k._rules', _known(group, rule))}"
    rows = [(d, f"(SELECT * FROM quarantine.{d.table} AS k WHERE {where})") for d in group.datasets]
    observed = results.observed_without_rows(connection, seq, rule)
    return _written(observed, _digests(connection, rows))


def failing(connection: Connection, group: Group, result: RuleResult) -> str:
    """Of the candidates that break the rule now and are not `exempt`; comparable with `kept` of the rule."""
    if result.predicate is None:
        return _written(result.observed, _digests(connection, [(d, _none(d)) for d in group.datasets]))
    exempt = f"SELECT _row FROM exempt WHERE rule_id = '{result.rule.id}'"
    condition = f"{result.predicate.condition} AND {absent('c._row', exempt)}"
    found = f"(SELECT c.* FROM candidate.{result.rule.table} AS c WHERE {condition})"
    rows = [(d, found if d.table == result.rule.table else _none(d)) for d in group.datasets]
    return _written(None, _digests(connection, rows))


def held(connection: Connection, group: Group) -> str:
    """Of the candidates that this judgement holds (`bad`); comparable with `kept` of all rows."""
    rows = [(d, f"(SELECT * FROM candidate.{d.table} WHERE _row IN ({_bad(d)}))") for d in group.datasets]
    return _written(None, _digests(connection, rows))


def _bad(dataset: Dataset) -> str:
    return f"SELECT _row FROM bad WHERE table_name = '{dataset.table}'"


def _none(dataset: Dataset) -> str:
    return f"(SELECT * FROM candidate.{dataset.table} WHERE FALSE)"


def _known(group: Group, rule: str) -> str:
    """The rule's id as the catalogue has it, as a literal."""
    return f"',{next((r.id for r in group.rules if r.id == rule), 'no rule')},'"


def _digests(connection: Connection, rows: list[tuple[Dataset, str]]) -> Iterator[str]:
    return (f"{d.table} {digest.of(connection, d.columns, relation)}" for d, relation in rows)


def _written(observed: str | None, digests: Iterator[str]) -> str:
    return hashlib.sha256("\n".join([observed or "", *digests]).encode()).hexdigest()
