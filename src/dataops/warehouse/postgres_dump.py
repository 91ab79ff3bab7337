"""PostgreSQL's own programs for copying a database: pg_dump, pg_restore, psql. The password goes by the environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from dataops import durable
from dataops.errors import PlatformError
from dataops.failpoint import failpoint
from dataops.warehouse.port import SCHEMAS


def dump(url: URL, file: Path) -> None:
    """The platform's schemas as one file in pg_dump's own format, of one snapshot. Raises PlatformError."""
    schemas = [f"--schema={name}" for name in SCHEMAS]
    _run("pg_dump", url, "--format=custom", "--no-owner", *schemas, f"--file={file}", _database(url))
    durable.sync(file)


def load(url: URL, file: Path, statements: Sequence[str]) -> None:
    """Puts what `file` holds in place of the platform's schemas, in one transaction that `statements` end.

    Raises PlatformError; everything is then as before.
    """
    drop = [f"DROP SCHEMA IF EXISTS {name} CASCADE" for name in SCHEMAS]
    script = file.with_name(f"{file.name}.{os.getpid()}.sql")
    try:
        _run("pg_restore", None, "--no-owner", f"--file={script}", str(file))
        failpoint("restore_copied")
        before, after = _commands(["SET client_min_messages = warning", *drop]), _commands(statements)
        own = ("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1")
        _run("psql", url, *own, *before, f"--file={script}", *after, f"--dbname={_database(url)}")
    finally:
        script.unlink(missing_ok=True)


@contextmanager
def scratch(url: URL, file: Path) -> Iterator[URL]:
    """A database of its own that holds what `file` does, dropped afterwards.

    Raises PlatformError for a file that is no dump, and where the role may not make databases.
    """
    name = f"dataops_trial_{os.getpid()}"
    place = url.set(database=name)
    try:
        with psycopg.connect(_libpq(url), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise PlatformError(f"no database for a trial could be made: {str(error).splitlines()[0]}") from error
    try:
        load(place, file, ())
        yield place
    finally:
        with psycopg.connect(_libpq(url), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _libpq(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def _commands(statements: Sequence[str]) -> list[str]:
    return [f"--command={statement}" for statement in statements]


def _database(url: URL) -> str:
    """The connection string without its password, which `ps` would show."""
    return url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)


def _run(program: str, url: URL | None, *arguments: str) -> None:
    environ = os.environ | ({"PGPASSWORD": str(url.password)} if url is not None and url.password else {})
    done = subprocess.run(  # noqa: S603  a program of PostgreSQL, its arguments as a list
        [_found(program), *arguments], env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        raise PlatformError(f"{program}: {said[0]}\nNothing was changed.")


def _found(program: str) -> str:
    """On the path, else where Debian keeps the newest server's programs."""
    if there := shutil.which(program):
        return there
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: float(path.parts[-3]))
    if not installed:
        raise PlatformError(f"{program} is not installed; it comes with PostgreSQL: apt-get install postgresql-client")
    return str(installed[-1])
