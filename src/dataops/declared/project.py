"""The file project.yml: what is this project's own, and no business of the engine's."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dataops.declared.declarations import share
from dataops.declared.errors import DeclarationError
from dataops.declared.layers import BUILT, CANDIDATE, FIRST_DAY, LEDGER, QUARANTINE, RAW, VALIDATED, Layers, is_history
from dataops.declared.routing import Messages, Zone
from dataops.declared.yaml_files import Strict, read

NAME = "project.yml"
Language = Literal["en", "fr"]
"""What reports are written in."""
RESERVED = {RAW, VALIDATED, CANDIDATE, QUARANTINE, LEDGER}


def _number(value: object) -> object:
    """`95%` as 0.95; anything else as it is."""
    return share(value) if isinstance(value, str) else value


def _layers(names: tuple[str, ...]) -> tuple[str, ...]:
    if bad := [name for name in names if name in RESERVED or is_history(name)]:
        raise ValueError(f"{bad[0]!r} is a schema of the platform's own")
    if len(set(names)) < len(names):
        raise ValueError("a layer is listed twice")
    return names


Word = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Timeouts(Strict):
    """Seconds; an environment variable of the same name (DATAOPS_QUERY_SECONDS) goes before."""

    lock: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 60
    query: Seconds = 300
    rule: Seconds = 3600
    model: Seconds = 3600


class Project(Strict):
    """The file project.yml. All of it may be left out."""

    name: Word | None = None  # the first part of a contract's `dataset`, where it has three
    title: str = "Data"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "XXX"  # ISO 4217, where XXX is no currency
    zone: Zone = "UTC"  # of the source's days
    first_day: dt.date = dt.date.fromisoformat(FIRST_DAY)  # of the data; a back-fill may begin here
    language: Literal["en"] = "en"
    timeouts: Timeouts = Field(default_factory=Timeouts)
    parameters: dict[Word, Annotated[float, BeforeValidator(_number)]] = Field(default_factory=dict)  # of Python models
    messages: Messages = Field(default_factory=Messages)
    restated_above: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0  # money; a larger change is an incident
    built_layers: Annotated[tuple[Word, ...], AfterValidator(_layers), Field(min_length=1)] = BUILT

    @property
    def known_as(self) -> str:
        """What others call it: in lineage."""
        return self.name or "dataops"

    def owns(self, dataset: str, layer: str, table: str) -> bool:
        """Whether a contract may call its dataset so: `layer/table`, with the project's name before it or without."""
        *before, found_layer, found_table = ["", *dataset.split("/")]
        return [found_layer, found_table] == [layer, table] and before in ([""], ["", self.name or before[-1]])

    @property
    def message_zone(self) -> str:
        """Of the hours at which messages are sent."""
        return self.messages.zone or self.zone

    @property
    def layers(self) -> Layers:
        return Layers(self.built_layers)


def load(folder: Path) -> Project:
    """The project of a folder. Raises DeclarationError naming file, line and key, or for a folder without a project."""
    file = folder / NAME
    if file.exists():
        return read(file, Project, NAME)
    if not any((folder / place).is_dir() for place in ("contracts", "checkpoints")):
        raise DeclarationError(
            f"{folder} is no project: it has neither {NAME} nor contracts/; is DATAOPS_PROJECT right?"
        )
    return Project()
