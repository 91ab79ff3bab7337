"""Options of a BULK INSERT, as far as they say how a file is written; what is not understood is refused by name.

Microsoft's reference of the statement (SQL Server 2019) lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from dataops.declared.errors import DataRejected

T = TypeVar("T")

_OPTION = re.compile(r"\s*(\w+)\s*(?:=\s*(?:N?'((?:[^']|'')*)'|(\w+))|\([^)]*\))?\s*(?:,|$)")
_ESCAPES = {r"\t": "\t", r"\n": "\n", r"\r": "\r", r"\0": "\0", "\\\\": "\\"}
_CODE_PAGES = {"ACP": "cp1252", "1252": "cp1252", "65001": "utf-8", "RAW": "cp1252"}
_OF_THE_LOAD = {
    "BATCHSIZE", "CHECK_CONSTRAINTS", "ERRORFILE", "FIRE_TRIGGERS", "KEEPIDENTITY", "KEEPNULLS", "KILOBYTES_PER_BATCH",
    "MAXERRORS", "ORDER", "ROWS_PER_BATCH", "TABLOCK",
}  # fmt: skip
"""How SQL Server writes the rows, which changes nothing in what they are."""
_OF_THE_FILE = {
    "CODEPAGE", "DATAFILETYPE", "FIELDQUOTE", "FIELDTERMINATOR", "FIRSTROW", "FORMAT", "LASTROW", "ROWTERMINATOR",
}  # fmt: skip


@dataclass(frozen=True)
class Written:
    """How a file is written.

    `wide` files are UTF-16LE with a byte order mark. Rows before number `first_row`, and after `last_row`, are not
    read. Fields may be `quote`d where that is not None: then they may hold terminators, and the quote itself doubled.
    """

    encoding: str
    wide: bool
    field_terminator: str
    row_terminator: str
    first_row: int = 1
    last_row: int | None = None
    quote: str | None = None


def written(text: str, where: str) -> Written:
    """What the options between the parentheses of WITH say. Raises DataRejected, which begins with `where`."""
    options = _options(text, where)
    quoted = _one_of(options, "FORMAT", {"CSV": True}, where) is not None
    if not quoted and "FIELDQUOTE" in options:
        raise DataRejected(f"{where}: FIELDQUOTE is for FORMAT = 'CSV' only")
    kind = _one_of(options, "DATAFILETYPE", {"char": "char", "widechar": "widechar"}, where) or "char"
    encoding = _one_of(options, "CODEPAGE", _CODE_PAGES, where) or "cp1252"
    return Written(
        encoding="utf-16-le" if kind == "widechar" else encoding,
        wide=kind == "widechar",
        field_terminator=_unescaped(options.get("FIELDTERMINATOR", "," if quoted else r"\t")),
        row_terminator=_unescaped(options.get("ROWTERMINATOR", r"\n")),
        first_row=max(_number(options, "FIRSTROW", where), 1),
        last_row=_number(options, "LASTROW", where) or None,
        quote=_quote(options, where) if quoted else None,
    )


def _options(text: str, where: str) -> dict[str, str]:
    """By their names in upper case; those that say nothing of the file are left out."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text.rstrip()):
        match = _OPTION.match(text, at)
        if match is None:
            raise DataRejected(f"{where}: the options near '{text[at : at + 40].strip()}' cannot be read")
        name, at = match[1].upper(), match.end()
        if name not in _OF_THE_LOAD | _OF_THE_FILE:
            known = ", ".join(sorted(_OF_THE_FILE))
            raise DataRejected(f"{where}: option {name} is not understood, so neither is the file; known are {known}")
        if name in _OF_THE_FILE:
            found[name] = (match[2] or "").replace("''", "'") if match[3] is None else match[3]
    return found


def _one_of(options: Mapping[str, str], name: str, known: Mapping[str, T], where: str) -> T | None:
    if name not in options:
        return None
    meant = {key.upper(): value for key, value in known.items()}
    if options[name].upper() not in meant:
        raise DataRejected(f"{where}: {name} = '{options[name]}' is not understood; known are {', '.join(known)}")
    return meant[options[name].upper()]


def _number(options: Mapping[str, str], name: str, where: str) -> int:
    text = options.get(name, "0")
    if not text.isdecimal():
        raise DataRejected(f"{where}: {name} = '{text}' is no number")
    return int(text)


def _quote(options: Mapping[str, str], where: str) -> str:
    quote = options.get("FIELDQUOTE", '"')
    if len(quote) != 1:
        raise DataRejected(f"{where}: FIELDQUOTE = '{quote}' is not one character")
    return quote


def _unescaped(text: str) -> str:
    if re.fullmatch(r"0[xX](?:[0-9a-fA-F]{2})+", text):
        return bytes.fromhex(text[2:]).decode("latin-1")
    return re.sub(r"\\[tnr0\\]", lambda escape: _ESCAPES[escape[0]], text)
