"""What sources of files do alike: batches of what was read, keys of parents, deliveries replaced in the middle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa

from dataops.declared.errors import PlatformError
from dataops.sources.port import PROBLEMS, Follow, Request, Window
from dataops.sources.selection import ReadParent, parent_keys, wanted_rows
from dataops.sources.values import Read, joined_problems


def arriving(
    file: str, lines: pa.Int64Array, names: Sequence[str], reads: list[Read], request: Request, keys: pa.Table | None
) -> Iterator[pa.RecordBatch]:
    """The rows that the request asks for: its columns in order, then `_problems`; nothing where there are none."""
    problems = joined_problems(file, lines, reads)
    made = pa.record_batch([*(read.values for read in reads), problems], [*names, PROBLEMS])
    chosen = wanted_rows(made, request, keys)
    if chosen.num_rows:
        yield chosen.select([*request.schema.names, PROBLEMS])


class Parents:
    """Keys of parents in a window, read once for all that follow them; `version` changes when a parent's file does."""

    def __init__(self, read: ReadParent, schema: Callable[[str], pa.Schema], version: Callable[[str], object]) -> None:
        self._read, self._schema, self._version = read, schema, version
        self._keys: dict[tuple[Follow, Window, object], pa.Table] = {}

    def keys(self, request: Request) -> pa.Table | None:
        """Those whose children the request asks for; None where it asks for no children."""
        follow, window = request.follow, request.window
        if follow is None or window is None or request.cursor:
            return None
        cached = (follow, window, self._version(follow.parent))
        if cached not in self._keys:
            self._keys[cached] = parent_keys(self._read, self._schema(follow.parent), follow, window)
        return self._keys[cached]


@contextmanager
def kept_still(name: str, versions: Callable[[], Mapping[str, object]]) -> Iterator[None]:
    """Files cannot be kept still, so they are compared: raises PlatformError where one was replaced meanwhile."""
    before = versions()
    yield
    after = versions()
    if changed := [file for file, version in before.items() if after[file] != version]:
        raise PlatformError(
            f"{name} changed while it was read: {', '.join(changed)}. The batch mixes two deliveries, so it"
            " cannot be judged; nothing was published. Run this again once the files are in place."
        )
