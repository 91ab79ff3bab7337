"""What the demo has already done: `demo.json` in the home folder, one entry per finished step; a re-run goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Facts = dict[str, Any]


class Memory:
    """Finished steps with what they found; JSON values only."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._steps: dict[str, Facts] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}

    def __contains__(self, step: str) -> bool:
        return step in self._steps

    def once(self, step: str, do: Callable[[], Facts]) -> tuple[Facts, bool]:
        """What the step found, and whether it had been done before. Written as soon as it is done."""
        if step in self._steps:
            return self._steps[step], True
        self._steps[step] = do()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".tmp")
        fresh.write_text(json.dumps(self._steps, indent=1), encoding="utf-8")
        fresh.replace(self._file)
        return self._steps[step], False

    def forget_unless(self, holds: Callable[[Facts], bool]) -> None:
        """Drops the first step that does not hold any more, and all after it: they were built on it."""
        for position, step in enumerate(list(self._steps)):
            if not holds(self._steps[step]):
                self._steps = dict(list(self._steps.items())[:position])
                return
