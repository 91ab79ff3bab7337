"""How the files of a table are written, as its contract says it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from dataops.declared.yaml_files import Strict


class File(Strict):
    """How a table's files are written; nothing of it is guessed.

    `name` is a pattern such as `parcels/*.csv`; without it the file is called like the source table. All but `name`
    and `format` are about text.
    """

    name: str | None = None
    format: Literal["csv", "parquet", "jsonl"] = "csv"
    delimiter: Annotated[str, Field(min_length=1, max_length=8)] = ","
    quote: Annotated[str | None, Field(min_length=1, max_length=1)] = '"'
    encoding: Literal["utf-8", "windows-1252"] = "utf-8"
    header: bool = True  # whether the first line names the columns; without it they stand as in the contract

    @model_validator(mode="after")
    def _one_way_to_write(self) -> File:
        if self.format != "csv" and (extra := self.model_fields_set - {"name", "format"}):
            raise ValueError(f"{min(extra)} is about text; a {self.format} file says it itself")
        if self.quote is not None and len(self.delimiter) > 1:
            raise ValueError("a delimiter of several characters goes with quote: null only")
        return self
