"""Times a step, counts the statements it issues and reads its process' peak memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine


@dataclass
class Probe:
    """Seconds, CPU seconds (all threads) and statements of named steps; a step may run several times."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    statements: dict[str, int] = field(default_factory=dict)
    _issued: int = 0

    def __post_init__(self) -> None:
        sa.event.listen(Engine, "before_cursor_execute", self._count)

    def _count(self, *_: object) -> None:
        self._issued += 1

    def count_soda(self) -> None:
        """Soda talks to the driver itself; its calls are counted where it makes them."""
        from soda_core.common.data_source_connection import DataSourceConnection  # noqa: TID251

        for name in ("execute_query", "execute_update", "execute_query_one_by_one", "execute_query_iterate"):
            setattr(DataSourceConnection, name, self._counted(getattr(DataSourceConnection, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: object, **kwargs: object) -> object:
            self._issued += 1
            return call(*args, **kwargs)

        return counted

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Times what runs inside."""
        before, start, busy = self._issued, time.perf_counter(), time.process_time()
        yield
        self.seconds.setdefault(name, []).append(time.perf_counter() - start)
        self.cpu.setdefault(name, []).append(time.process_time() - busy)
        self.statements[name] = self._issued - before


def peak_mib() -> int:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
