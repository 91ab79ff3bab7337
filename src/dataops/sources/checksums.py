"""The checksum of a row by which both sides of a comparison know it, in SQL that every server computes alike.

Two sums over all rows, of a number per row and of its square, modulo a prime: one row more, less or other changes them.
"""

from __future__ import annotations

from collections.abc import Sequence

PRIME = 2_147_483_647
FACTORS = (1_048_583, 805_306_457, 402_653_189, 1_610_612_741)
"""One per column, so that values that change places are seen."""


def grouped(rows: str, columns: Sequence[str], low: int, size: int) -> str:
    """Query of the sums (`port.SUMS`) of a query whose columns are whole numbers, by blocks of the first one.

    Blocks hold `size` values each, from `low` on. Raises ValueError for more columns than there are factors.
    """
    if len(columns) > len(FACTORS):
        raise ValueError(f"{len(columns)} columns; sums are made of at most {len(FACTORS)}")
    terms = (
        f"((CAST({name} AS BIGINT) % {PRIME}) * {factor}) % {PRIME}"
        for name, factor in zip(columns, FACTORS, strict=False)
    )
    hashed = (
        f"SELECT CAST({columns[0]} AS BIGINT) - {low} AS k, ({' + '.join(terms)}) % {PRIME} AS h FROM ({rows}) AS r"
    )
    block = f"(k - k % {size}) / {size}"
    sums = f"CAST(SUM(h) AS BIGINT) AS first_sum, CAST(SUM((h * h) % {PRIME}) AS BIGINT) AS second_sum"
    counted = f"CAST({block} AS BIGINT) AS block, CAST(COUNT(*) AS BIGINT) AS rows_there"
    return f"SELECT {counted}, {sums} FROM ({hashed}) AS q GROUP BY {block}"
