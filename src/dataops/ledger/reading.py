"""From rows of the ledger to records: frozen, checked, with closed enums. Nothing else leaves this room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy.engine import Connection

Row = dict[str, Any]
"""A row as it stands, for what is hashed; none leaves this room."""


class Record(BaseModel):
    """A row of one table. Its fields are named as the columns, `group` and `table` without their `_name`."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True)

    @classmethod
    def of(cls, row: Mapping[str, Any] | sa.RowMapping) -> Self:
        """Raises pydantic's ValidationError for a row that no release wrote."""
        return cls.model_validate(dict(row))


R = TypeVar("R", bound=Record)


def one(connection: Connection, kind: type[R], statement: sa.Select[Any]) -> R | None:
    """The first row, or None."""
    row = connection.execute(statement).mappings().first()
    return None if row is None else kind.of(row)


def every(connection: Connection, kind: type[R], statement: sa.Select[Any]) -> list[R]:
    """All rows."""
    return [kind.of(row) for row in connection.execute(statement).mappings()]


def mappings(connection: Connection, statement: sa.Select[Any]) -> list[Row]:
    """All rows as they stand, for what is hashed."""
    return [dict(row) for row in connection.execute(statement).mappings()]
