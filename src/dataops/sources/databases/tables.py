"""What a database says of a table: its own names, and how each column is read as a value that the port knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from dataops.declared.errors import DataRejected
from dataops.sources.port import squeezed


@dataclass(frozen=True)
class Column:
    """A column as the server has it.

    `name` is the server's own and `label` the port's; `sql` reads the value, with `{}` for the column, and `unfit` is
    the condition on it under which no value of `type` can be made, which `sql` then reads as NULL.
    `is_absolute`: a moment with a zone.
    """

    name: str
    label: str
    type: pa.DataType
    sql: str = "{}"
    unfit: str | None = None
    is_absolute: bool = False


@dataclass(frozen=True)
class Table:
    """A table as the server has it; `version` changes when it is made anew or emptied by other means than rows."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    version: str = ""

    @property
    def arrow_schema(self) -> pa.Schema:
        """Columns in the server's order, by the port's names."""
        return pa.schema([(column.label, column.type) for column in self.columns])

    def column(self, name: str, source_name: str) -> Column:
        """The column that is called so, in whatever spelling. Raises DataRejected."""
        same = [column for column in self.columns if column.label == name]
        same = same or [column for column in self.columns if squeezed(column.name) == squeezed(name)]
        if len(same) != 1:
            has = ", ".join(column.label for column in self.columns)
            raise DataRejected(
                f"{source_name}: {self.schema}.{self.name} has no column {name}; it has {has}."
                " Did the source change, or the contract?"
            )
        return same[0]


def called(source_table: str, there: Iterable[tuple[str, str]], source_name: str) -> tuple[str, str]:
    """The (schema, table) that `Sales.SalesOrderHeader` means: spelt so, else without case and underscores.

    Raises DataRejected when there is none, or more than one.
    """
    schema, _, table = source_table.partition(".")
    known = sorted(there)
    if (schema, table) in known:
        return schema, table
    alike = [pair for pair in known if (squeezed(pair[0]), squeezed(pair[1])) == (squeezed(schema), squeezed(table))]
    if len(alike) == 1:
        return alike[0]
    if alike:
        names = ", ".join(".".join(pair) for pair in alike)
        raise DataRejected(f"{source_name}: {source_table} may be each of {names}; name one of them in the contract")
    raise DataRejected(
        f"{source_name} has no table {source_table} among the {len(known)} that this login sees; check `source:` in"
        " the contract, and that the login may read it"
    )


def changed_between(before: Sequence[Table], after: Sequence[Table | None]) -> list[str]:
    """What became of tables meanwhile, as sentences: columns that came, went or are of another type, and rewriting."""
    said = []
    for old, new in zip(before, after, strict=True):
        name = f"{old.schema}.{old.name}"
        if new is None:
            said.append(f"{name} is gone")
        elif names := _changed_columns(old, new):
            said.append(f"{name} has other columns: {', '.join(names)}")
        elif old.version != new.version:
            said.append(f"{name} was emptied or rewritten")
    return said


def _changed_columns(old: Table, new: Table) -> list[str]:
    was, now = ({c.name: (c.type, c.sql) for c in table.columns} for table in (old, new))
    return sorted(name for name in was.keys() | now.keys() if was.get(name) != now.get(name))
