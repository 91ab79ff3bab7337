"""The file project.yml: what is this project's own, and no business of the engine's."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from dataops.declared.declarations import share
from dataops.declared.errors import DeclarationError
from dataops.declared.layers import BUILT, CANDIDATE, LEDGER, QUARANTINE, RAW, VALIDATED, Layers, is_history
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
    """The file project.yml."""

    name: Word  # the first part of every contract's `dataset`
    title: str
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]  # ISO 4217
    zone: Zone  # of the source's days
    first_day: dt.date  # of the data; a back-fill may begin here
    language: Literal["en"] = "en"
    timeouts: Timeouts = Field(default_factory=Timeouts)
    parameters: dict[Word, Annotated[float, BeforeValidator(_number)]] = Field(default_factory=dict)  # of Python models
    messages: Messages = Field(default_factory=Messages)
    restated_above: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0  # money; a larger change is an incident
    built_layers: Annotated[tuple[Word, ...], AfterValidator(_layers), Field(min_length=1)] = BUILT

    @property
    def message_zone(self) -> str:
        """Of the hours at which messages are sent."""
        return self.messages.zone or self.zone

    @property
    def layers(self) -> Layers:
        return Layers(self.built_layers)


def load(folder: Path) -> Project:
    """The project of a folder. Raises DeclarationError naming file, line and key."""
    file = folder / NAME
    if not file.exists():
        raise DeclarationError(
            f"{NAME} is missing; say what is this project's own: name, title, currency, zone, first_day"
        )
    return read(file, Project, NAME)
