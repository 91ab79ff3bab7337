"""Files of any project as a source. What a table's files are called and how they are written, its contract says.

Columns are found by the names in the file: spelt as in the contract, give or take case, blanks and underscores, or as
its `source_name`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from dataops.declared.arrow_types import arrow_type
from dataops.declared.declarations import ContractFile
from dataops.declared.errors import DataRejected
from dataops.declared.files import File
from dataops.declared.paths import Paths
from dataops.declared.yaml_files import read as read_yaml
from dataops.sources.archive import readable
from dataops.sources.arriving import Parents, kept_still
from dataops.sources.bulk_insert import Written
from dataops.sources.files import json_lines, parquet
from dataops.sources.files.place import Found, open_place
from dataops.sources.install_script import FileColumn, FileFormat, snake_case
from dataops.sources.port import Request, delivered, squeezed
from dataops.sources.quoted import header
from dataops.sources.selection import needed_columns
from dataops.sources.text_table import text_batches
from dataops.sources.values import SPELT

ENCODINGS = {"utf-8": "utf-8", "windows-1252": "cp1252"}


@dataclass(frozen=True)
class Declared:
    """A table as its contract has it."""

    source_table: str
    contract: ContractFile
    contract_file: str

    @cached_property
    def file(self) -> File:
        return self.contract.platform.file or File()

    @property
    def pattern(self) -> str:
        return self.file.name or f"{self.source_table.rpartition('.')[2]}.{self.file.format}"

    def with_all(self, names: Sequence[str]) -> dict[str, pa.DataType]:
        """Columns of a file that leaves out what is missing: those it names, then the others of the contract."""
        agreed = {column.name: arrow_type(column) for column in self.contract.columns}
        held = {self.ours(name) for name in names}
        others = {c.source_name or c.name: agreed[c.name] for c in self.contract.columns if c.name not in held}
        return {name: agreed.get(self.ours(name), pa.string()) for name in names} | others

    def ours(self, name: str) -> str:
        """What the platform calls a column of the file."""
        for column in self.contract.columns:
            if column.source_name == name or (column.source_name is None and squeezed(column.name) == squeezed(name)):
                return column.name
        return snake_case(name)


class Files:
    """Source over one delivery. Not for use by two threads at once."""

    def __init__(self, place: str, project: Path) -> None:
        self._place = open_place(place)
        self._name = f"files:{Path(place).name}"
        self._project = project
        self._parents = Parents(self.read, self.schema, lambda table: tuple(self._files(self._table(table))))

    @property
    def name(self) -> str:
        """`files:` and the last part of the path."""
        return self._name

    def schema(self, source_table: str) -> pa.Schema:
        """Columns as the files have them at this moment; text is of the types of the contract."""
        declared = self._table(source_table)
        found = [(file.name, self._columns(declared, file)) for file in self._files(declared)]
        (first, names), *others = found
        for file, other in others:
            if list(other) != list(names) and declared.file.format != "jsonl":
                raise DataRejected(
                    f"{self._name}: {first} and {file} of {source_table} have other columns: {', '.join(names)}; and"
                    f" {', '.join(other)}. Deliver files of one kind"
                )
        return pa.schema([(declared.ours(name), kind) for name, kind in names.items()])

    def snapshot(self, source_tables: Sequence[str]) -> AbstractContextManager[None]:
        """A delivery that is replaced meanwhile is refused."""
        return kept_still(
            self._name, lambda: {f"the files of {name}": self._files(self._table(name)) for name in source_tables}
        )

    def read(self, request: Request) -> pa.RecordBatchReader:
        """Rows file by file, in their order; see `Source.read`."""
        declared = self._table(request.source_table)
        missing = sorted(set(needed_columns(request)) - set(self.schema(request.source_table).names))
        if missing:
            raise DataRejected(
                f"{self._name}: {request.source_table} has no column {', '.join(missing)}; did the files change, or"
                f" {declared.contract_file}?"
            )
        return pa.RecordBatchReader.from_batches(delivered(request.schema), self._batches(declared, request))

    def sums(self, request: Request, low: int, size: int) -> None:
        """Only reading would tell."""

    def position(self) -> None:
        """Nobody writes to it."""

    def close(self) -> None:
        """Close what is open."""
        self._place.close()

    @cached_property
    def _declared(self) -> Mapping[str, Declared]:
        paths, found = Paths(self._project, self._project), {}
        for path in sorted(paths.contracts.glob("raw/*.yml")):
            contract = read_yaml(path, ContractFile, paths.shown(path))
            table = str(contract.platform.source)
            found[table] = Declared(table, contract, paths.shown(path))
        return found

    def _table(self, source_table: str) -> Declared:
        if source_table not in self._declared:
            raise DataRejected(f"{self._name}: no contract of the project has source: {source_table}")
        return self._declared[source_table]

    def _files(self, declared: Declared) -> list[Found]:
        found = self._place.matching(declared.pattern)
        if not found:
            raise DataRejected(
                f"{self._name} holds no file {declared.pattern} for {declared.source_table}; deliver it, or say in"
                f" {declared.contract_file} what it is called: file: {{name: …}}"
            )
        if len(found) > 1 and not set(declared.pattern) & set("*?["):
            raise DataRejected(
                f"{self._name} holds {len(found)} files {declared.pattern}: {', '.join(file.name for file in found)};"
                " which one is meant cannot be known: name the folder of one delivery, or a pattern for all of them"
            )
        packed = {file.name.removesuffix(".gz") for file in found if file.name.endswith(".gz")}
        if both := sorted(packed & {file.name for file in found}):
            raise DataRejected(f"{self._name} holds {both[0]} and {both[0]}.gz; which one is meant cannot be known")
        return found

    def _columns(self, declared: Declared, file: Found) -> dict[str, pa.DataType]:
        """The file's own names, in its order, and of which type each is."""
        agreed = {column.name: arrow_type(column) for column in declared.contract.columns}
        with readable(file.name), self._place.open(file.name) as stream:
            if declared.file.format == "parquet":
                return parquet.columns(stream, file.name)
            if declared.file.format == "jsonl":
                return declared.with_all(json_lines.columns(stream, file.name))
            if not declared.file.header:
                return agreed
            names = header(stream, _form(declared, file.name, {}))
        if len({squeezed(name) for name in names}) < len(names):
            raise DataRejected(f"{file.name} line 1: two columns have one name: {', '.join(names)}; rename one of them")
        return {name: agreed.get(declared.ours(name), pa.string()) for name in names}

    def _batches(self, declared: Declared, request: Request) -> Iterator[pa.RecordBatch]:
        keys = self._parents.keys(request)
        for file in self._files(declared):
            columns = self._columns(declared, file)
            with readable(file.name), self._place.open(file.name) as stream:
                names = {declared.ours(name): name for name in columns}
                kinds = {declared.ours(name): kind for name, kind in columns.items()}
                if declared.file.format == "parquet":
                    yield from parquet.batches(stream, file.name, names, request, keys)
                elif declared.file.format == "jsonl":
                    yield from json_lines.batches(stream, file.name, names, kinds, request, keys)
                else:
                    yield from text_batches(stream, _form(declared, file.name, kinds), request, keys)


def _written(file: File, first_row: int) -> Written:
    return Written(ENCODINGS[file.encoding], False, file.delimiter, "\n", first_row, None, file.quote)


def _form(declared: Declared, file: str, columns: Mapping[str, pa.DataType]) -> FileFormat:
    """How one file is cut and typed."""
    made = tuple(FileColumn(name, SPELT.get(str(kind), ""), kind) for name, kind in columns.items())
    first_row = 2 if declared.file.header else 1
    return FileFormat(declared.source_table, file, made, _written(declared.file, first_row), declared.contract_file)
