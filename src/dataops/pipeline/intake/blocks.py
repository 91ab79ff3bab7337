"""Where two sides differ, found without reading either: sums over ranges of keys, the ranges cut smaller where they do.

Pure. A round costs a scan of what is still in doubt at each side, and a line per block; equal sides cost one round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

Ranges = tuple[tuple[int, int], ...]
Ask = Callable[[Ranges, int, int], pa.Table | None]
"""Sums (`sources.port.SUMS`) of the rows in these ranges, by blocks from a first value on, of so many values each.

None where a side cannot tell.
"""

CUT = 1024  # blocks that a block is cut into
SMALL = 64  # values of a block that is read rather than cut
MOST = 2000  # ranges in one question: beyond, neighbours are taken together


@dataclass
class Cost:
    """What a comparison took: questions asked of both sides, and lines that came over."""

    questions: int = 0
    lines: int = 0


def differing(theirs: Ask, ours: Ask, whole: tuple[int, int], size: int, cost: Cost) -> Ranges | None:
    """Ranges within `whole`, each of a few values, in which rows differ; `size` values in a block at first."""
    low = whole[0]
    size = max(size, SMALL)
    ranges: Ranges = (whole,)
    while True:
        there, here = theirs(ranges, low, size), ours(ranges, low, size)
        if there is None or here is None:
            return None
        cost.questions += 2
        cost.lines += there.num_rows + here.num_rows
        ranges = _few([(low + block * size, low + (block + 1) * size) for block in _unequal(there, here)])
        if not ranges or size <= SMALL:
            return ranges
        size = max(size // CUT, SMALL)


def first_size(values: tuple[int, int] | None, whole: tuple[int, int]) -> int:
    """How large the first blocks are: as many as one likes to compare where the values lie that are known."""
    low, high = values or whole
    return max((high - low) // CUT, SMALL)


def _unequal(there: pa.Table, here: pa.Table) -> list[int]:
    """Numbers of blocks that are not the same on both sides, in order."""
    names = there.column_names
    only_there = there.join(here, names, join_type="left anti")
    only_here = here.join(there, names, join_type="left anti")
    both = pa.concat_tables([only_there, only_here]).column("block").to_pylist()
    return sorted({int(block) for block in both if block is not None})


def _few(ranges: Sequence[tuple[int, int]]) -> Ranges:
    """The same ranges, those that touch as one; the closest ones as one until there are few."""
    made: list[tuple[int, int]] = []
    for low, high in ranges:
        if made and made[-1][1] >= low:
            made[-1] = (made[-1][0], high)
        else:
            made.append((low, high))
    if len(made) <= MOST:
        return tuple(made)
    gaps = sorted(range(1, len(made)), key=lambda n: made[n][0] - made[n - 1][1])
    joined = set(gaps[: len(made) - MOST])
    few: list[tuple[int, int]] = []
    for n, (low, high) in enumerate(made):
        if n in joined:
            few[-1] = (few[-1][0], high)
        else:
            few.append((low, high))
    return tuple(few)
