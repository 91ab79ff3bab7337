"""PostgreSQL's own programs for copying a database: pg_dump, pg_restore, psql. The password goes by the environment."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, cast

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from dataops.declared import durable
from dataops.declared.errors import PlatformError
from dataops.declared.failpoint import failpoint


def dump(url: URL, file: Path, schemas: Sequence[str]) -> None:
    """The platform's schemas as one file in pg_dump's own format, of one snapshot. Raises PlatformError."""
    named = [f"--schema={name}" for name in schemas]
    arguments = ("--format=custom", "--no-owner", "--no-privileges", *named, f"--file={file}", _database(url))
    with TemporaryFile() as messages, _started("pg_dump", url, *arguments, stderr=messages) as process:
        _require_done(process, messages)
    durable.sync(file)


def load(url: URL, file: Path, schemas: Sequence[str], statements: Sequence[str], lock_seconds: float) -> None:
    """Puts what `file` holds in place of the platform's schemas, in one transaction that `statements` end.

    Raises PlatformError, also when a session keeps a table locked for longer; everything is then as before.
    """
    own = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={_database(url)}")
    begin = ["BEGIN", "SET client_min_messages = warning", f"SET LOCAL lock_timeout = {int(lock_seconds * 1000)}"]
    begin += [f"DROP SCHEMA IF EXISTS {name} CASCADE" for name in schemas]
    with TemporaryFile() as messages, _started("psql", url, *own, stdin=subprocess.PIPE, stderr=messages) as psql:
        target = cast("IO[bytes]", psql.stdin)
        with suppress(BrokenPipeError):  # psql says why it ended
            target.write(_script(begin))
            _copy(file, target)
            if statements:
                failpoint("restore_copied")
            target.write(_script([*statements, "COMMIT"]))  # without it, the end of the input rolls back
            target.close()
        _require_done(psql, messages)


def _copy(file: Path, target: IO[bytes]) -> None:
    """The statements that make what `file` holds; as a stream, so that no row lies in a file of its own."""
    with TemporaryFile() as errors, _started("pg_restore", None, "--no-owner", "--no-privileges", "--file=-", str(file),
                                           stdout=subprocess.PIPE, stderr=errors) as source:  # fmt: skip
        shutil.copyfileobj(cast("IO[bytes]", source.stdout), target)
        _require_done(source, errors)


def _script(statements: Sequence[str]) -> bytes:
    return "".join(f"{statement};\n" for statement in statements).encode()


@contextmanager
def scratch(url: URL, file: Path, schemas: Sequence[str], lock_seconds: float) -> Iterator[URL]:
    """A database of its own that holds what `file` does, dropped afterwards.

    Raises PlatformError for a file that is no dump, and where the role may not make databases.
    """
    name = f"{url.database}_trial"
    place = url.set(database=name)
    try:
        with psycopg.connect(libpq_uri(url), autocommit=True) as connection:
            # One that a killed process left behind: the caller holds the lock on backups.
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise PlatformError(f"no database for a trial could be made: {str(error).splitlines()[0]}") from error
    try:
        load(place, file, schemas, (), lock_seconds)
        yield place
    finally:
        with psycopg.connect(libpq_uri(url), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def libpq_uri(url: URL) -> str:
    """With the password, as libpq reads it: blanks are encoded, which SQLAlchemy leaves as they are."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False).replace(" ", "%20")


def _database(url: URL) -> str:
    """The connection string without its password, which `ps` would show."""
    return libpq_uri(url.set(password=None))


def _started(program: str, url: URL | None, *arguments: str, **streams: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401
    environ = os.environ | ({"PGPASSWORD": str(url.password)} if url is not None and url.password else {})
    return subprocess.Popen([_found(program), *arguments], env=environ, **streams)  # noqa: S603  a list, no shell


def _require_done(process: subprocess.Popen[bytes], messages: IO[bytes]) -> None:
    """Raises PlatformError with the first line of what a program said when it failed."""
    code = process.wait()
    if code:
        messages.seek(0)
        lines = [line for line in messages.read().decode(errors="replace").splitlines() if line.strip()]
        raise PlatformError(f"{(lines or [f'exit code {code}'])[0]}\nNothing was changed.")


def _found(program: str) -> str:
    """On the path, else where Debian keeps the newest server's programs."""
    if there := shutil.which(program):
        return there
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), key=lambda path: float(path.parts[-3]))
    if not installed:
        raise PlatformError(f"{program} is not installed; it comes with PostgreSQL: apt-get install postgresql-client")
    return str(installed[-1])
