"""From a checked SELECT to the text that a warehouse runs: of the same meaning everywhere."""

from __future__ import annotations

from collections.abc import Mapping

import sqlglot
from sqlglot import exp

from dataops.declared import meaning, select
from dataops.declared.kinds import Schema
from dataops.declared.select import WRITTEN_IN, Dialect

Name = tuple[str, str]  # (schema, table), as the SELECT has them


def render(tree: exp.Query, dialect: Dialect, schema: Schema, places: Mapping[Name, str] | None = None) -> str:
    """The SELECT's text in `dialect`, without comments; `tree` stays as it is.

    `schema` gives the columns of the tables it names. `places` maps tables to where they are read instead: a relation
    or a query in parentheses, ours, in PostgreSQL's dialect. Raises SelectError for what would not mean the same.
    """
    select.require_read_back(tree)
    translated = meaning.translated(tree, dialect, schema)
    for column in translated.find_all(exp.Column):
        column.set("db", None)  # `validated.product.name`: every table is known by its alias
    for node in list(select.tables(translated)):
        if where := (places or {}).get((node.db, node.name)):
            _read_from(node, where)
    return select.text_of(translated, dialect)


def _read_from(node: exp.Table, where: str) -> None:
    """Lets a table be read from elsewhere under the name by which the rest of the SELECT knows it."""
    # The parser knows tables and statements; a query in parentheses is the latter.
    into = None if where.lstrip().startswith("(") else exp.Table
    relation = sqlglot.parse_one(where, read=WRITTEN_IN, into=into)
    relation.set("alias", node.args.get("alias") or exp.TableAlias(this=node.this.copy()))
    relation.set("joins", node.args.get("joins"))
    node.replace(relation)
