"""Transactions over SQLAlchemy that both warehouses share: commit, roll back, and whose fault an error is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from dataops.declared.errors import PlatformError
from dataops.warehouse.port import CommitUnknownError

Explain = Callable[[BaseException], str | None]


@contextmanager
def transaction(
    connect: Callable[[], Connection],
    explain: Explain,
    settle: Callable[[Connection], None] | None = None,
    scratch: Sequence[str] = (),
) -> Iterator[Connection]:
    """A transaction that commits on exit. `explain` turns infrastructure errors into a message, others into None.

    `settle` is called after COMMIT, on the open connection. `scratch` are temporary tables, made before it begins.
    """
    connection = connect()
    try:
        _make(connection, scratch, explain)
        work = connection.begin()
        try:
            yield connection
        except BaseException as error:  # noqa: BLE001  also KeyboardInterrupt and SystemExit must roll back
            _roll_back(connection)
            raise_explained(error, explain)
        try:
            work.commit()
        except Exception as error:
            raise CommitUnknownError(explain(error) or _first_line(error)) from error
        if settle:
            settle(connection)
    finally:
        _close(connection)


def _make(connection: Connection, scratch: Sequence[str], explain: Explain) -> None:
    """Makes temporary tables; they go with the connection."""
    try:
        for table in scratch:
            connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {table}")
        connection.commit()
    except DBAPIError as error:
        raise_explained(error, explain)


def raise_explained(error: BaseException, explain: Explain) -> None:
    """Raises PlatformError for an infrastructure error, the error itself otherwise."""
    if message := explain(error):
        raise PlatformError(message) from error
    raise error


def _roll_back(connection: Connection) -> None:
    try:
        connection.rollback()
    except DBAPIError:
        connection.invalidate()


def _close(connection: Connection) -> None:
    try:
        connection.close()
    except DBAPIError:
        connection.invalidate()


def _first_line(error: BaseException) -> str:
    text = str(getattr(error, "orig", None) or error).strip()
    return text.splitlines()[0] if text else type(error).__name__
