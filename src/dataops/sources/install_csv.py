"""Microsoft's AdventureWorks install files as a source: both editions, in a folder, a zip or a tar.

How each file is written is taken from the `instawdb.sql` beside it, read anew whenever it changes.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import pyarrow as pa

from dataops.declared.errors import DataRejected
from dataops.sources.archive import open_archive, readable
from dataops.sources.arriving import Parents, kept_still
from dataops.sources.arrow import pc
from dataops.sources.delimited import Rows
from dataops.sources.install_script import FileFormat, InstallScript
from dataops.sources.port import Request, delivered
from dataops.sources.selection import needed_columns
from dataops.sources.text_table import text_batches

_SCRIPT = "instawdb.sql"
_NEW_SPELLING = len("2025-11-14 00:00:00.000")  # the 2014 edition writes none or nine fraction digits, never three


class InstallCsv:
    """Source over one delivery of install files. Not for use by two threads at once."""

    def __init__(self, path: Path) -> None:
        self._archive = open_archive(path, _SCRIPT)
        self._name = f"csv:{path.resolve().name}"
        self._script: tuple[object, InstallScript] | None = None
        self._parents = Parents(self.read, self.schema, lambda t: self._archive.version(self.format_of(t).file))

    @property
    def name(self) -> str:
        """`csv:` and the last part of the path."""
        return self._name

    def schema(self, source_table: str) -> pa.Schema:
        """Columns as `instawdb.sql` declares them at this moment."""
        return self.format_of(source_table).schema

    def snapshot(self, source_tables: Sequence[str]) -> AbstractContextManager[None]:
        """A delivery that is replaced meanwhile is refused."""
        files = sorted({_SCRIPT, *(self.format_of(name).file for name in source_tables)})
        return kept_still(self._name, lambda: {file: self._archive.version(file) for file in files})

    def read(self, request: Request) -> pa.RecordBatchReader:
        """Rows in file order; see `Source.read`."""
        form = self.format_of(request.source_table)
        _require_columns(needed_columns(request), form)
        return pa.RecordBatchReader.from_batches(delivered(request.schema), self._batches(request, form))

    def sums(self, request: Request, low: int, size: int) -> None:
        """Only reading would tell."""

    def position(self) -> None:
        """Nobody writes to it."""

    def tables(self) -> list[str]:
        """Every table that has a file, by its name at SQL Server."""
        return sorted(self._read_script().tables)

    def close(self) -> None:
        """Close the archive; temporary files are removed."""
        self._archive.close()

    def format_of(self, source_table: str) -> FileFormat:
        """How the table's file is written, as `instawdb.sql` says at this moment. Raises DataRejected."""
        script = self._read_script()
        if source_table not in script.tables:
            raise DataRejected(
                f"{self._name} has no table {source_table}: instawdb.sql loads {len(script.tables)} tables, not this"
                " one; check `source:` in the contract"
            )
        return script.format_of(source_table)

    def _read_script(self) -> InstallScript:
        version = self._archive.version(_SCRIPT)
        if self._script is None or version is None or version != self._script[0]:
            with readable(_SCRIPT), self._archive.open(_SCRIPT) as stream:
                self._script = (version, InstallScript(stream.read().decode("utf-8-sig", "replace")))
        return self._script[1]

    def _batches(self, request: Request, form: FileFormat) -> Iterator[pa.RecordBatch]:
        keys = self._parents.keys(request)
        with readable(form.file), self._archive.open(form.file) as stream:
            yield from text_batches(stream, form, request, keys, _refuse_other_edition)


def _require_columns(names: list[str], form: FileFormat) -> None:
    missing = sorted(set(names) - set(form.schema.names))
    if missing:
        raise DataRejected(
            f"{form.source_table} has no column {', '.join(missing)} in instawdb.sql; it has "
            f"{', '.join(form.schema.names)}. Did the source change, or the contract?"
        )


def _refuse_other_edition(rows: Rows, form: FileFormat) -> None:
    """Files of the 2025 edition in ASCII decode under a 2014 script, but their dates are eleven years off."""
    moments = [at for at, column in enumerate(form.columns) if column.sql_type == "datetime"]
    if form.written.encoding != "cp1252" or not moments:
        return
    lengths = pc.utf8_length(rows.column(moments[-1]))
    if len(lengths) and pc.all(pc.equal(lengths, _NEW_SPELLING)).as_py():
        raise DataRejected(
            f"{form.file} spells timestamps as the 2025 edition does ({rows.column(moments[-1])[0].as_py()}), but "
            "instawdb.sql is the 2014 edition's; files of two editions must not be mixed"
        )
