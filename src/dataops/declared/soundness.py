"""What declarations must be for the gate to mean what they say: names that fit, guards that guard, rules that judge."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from dataops.declared.declarations import ContractFile, ExpectationItem
from dataops.declared.errors import DeclarationError
from dataops.declared.layers import RAW, Kind, kind_of

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LONGEST = 48  # characters: what the platform puts before a table's name fits into a warehouse's 63 bytes as well


def require_name(name: str, file: str) -> None:
    """Raises DeclarationError for a name that has to be quoted, or that a warehouse would cut."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise DeclarationError(
            f"{file}: {name!r} is no name for a table or group: lower case letters, digits and _, a letter first, at"
            f" most {_LONGEST} characters"
        )


def require_same(found: str, expected: str, key: str, file: str) -> None:
    """Raises DeclarationError where a file calls itself otherwise than its place does."""
    if found != expected:
        raise DeclarationError(f'{file}: "{key}" is {found!r}; its place says {expected!r}')


def require_columns(columns: Sequence[str], contract: ContractFile, where: str, table: str) -> None:
    """Raises DeclarationError for a column that the contract does not list, and names the one that may be meant."""
    known = [column.name for column in contract.columns]
    if unknown := [name for name in columns if name not in known]:
        close = difflib.get_close_matches(unknown[0], known, n=1)
        meant = f'; did you mean "{close[0]}"?' if close else ""
        raise DeclarationError(f"{where}: no column {unknown[0]!r} in {table}{meant}")


def require_guards(contract: ContractFile, layer: str, file: str) -> None:
    """Raises DeclarationError where an empty batch would pass, or a source is named for what has none."""
    platform = contract.platform
    if (kind_of(layer) is Kind.LOADED) != (platform.source is not None):
        raise DeclarationError(f'{file}: "source" is for {RAW} contracts, and every {RAW} contract names one')
    counted = any(item.needs_rows for item in contract.checks)
    if not counted and not platform.may_be_empty:
        raise DeclarationError(
            f"{file}: no critical row_count check that 0 rows fail, so an empty batch would pass; add one, or say"
            " may_be_empty: true"
        )


def require_judgeable(item: ExpectationItem, columns: Sequence[str], contract: ContractFile, file: str) -> None:
    """A comparison with what is missing is neither true nor false: GX passes the row, so the author says whether to."""
    if item.severity != "critical" or not item.type.startswith(("expect_column_pair_", "expect_multicolumn_")):
        return
    said = item.kwargs.get("ignore_row_if") in {"either_value_is_missing", "any_value_is_missing"}
    if not said and (open_ := [name for name in columns if name not in contract.required]):
        ignore = "either_value_is_missing" if "_pair_" in item.type else "any_value_is_missing"
        raise DeclarationError(
            f"{file}, rule {item.meta.rule}: a row without {' or '.join(open_)} could not be judged, and would pass;"
            f" where that is right say ignore_row_if: {ignore}, else give the column a critical missing check in the"
            " contract"
        )
