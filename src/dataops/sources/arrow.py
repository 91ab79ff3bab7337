"""Arrow's compute functions as the sources call them: with plain Python values beside arrays.

The type stubs of pyarrow reject `equal(array, "")`, which Arrow accepts, and lack `arange`; so both are untyped here,
once, and typed again where they are used.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as _compute

if TYPE_CHECKING:  # the classes take no parameters at run time
    Array: TypeAlias = pa.Array[Any]
    ListArray: TypeAlias = pa.ListArray[Any]
else:
    Array, ListArray = pa.Array, pa.ListArray

pc: Any = _compute
_untyped: Any = pa


def positions(start: int, stop: int, step: int = 1) -> pa.Int64Array:
    """Whole numbers from `start` up to, not including, `stop` (`pa.array` would import pandas, which takes 2 s)."""
    numbers: pa.Int64Array = _untyped.arange(start, stop, step)
    return numbers


def nulls(size: int, kind: pa.DataType) -> Array:
    """An array of NULLs of any type."""
    array: Array = _untyped.nulls(size, kind)
    return array
