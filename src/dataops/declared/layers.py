"""The one place that lists layers: what is loaded, what is built, what people may read. Everybody else asks here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

RAW = "raw"
"""Where loads land, as received; the layer of what is loaded."""
VALIDATED = "validated"
"""Where accepted rows of what is loaded stand."""
CANDIDATE = "candidate"
QUARANTINE = "quarantine"
LEDGER = "ops"
BUILT = ("curated", "marts")
FIRST_DAY = "2000-01-01"  # of the data, where project.yml says nothing
"""Layers that models make, unless project.yml lists others."""


class Kind(StrEnum):
    """How the rows of a group come to be."""

    LOADED = "loaded"
    BUILT = "built"


def history_of(layer: str) -> str:
    """The schema that holds superseded versions of a published layer."""
    return f"{layer}_history"


def is_history(layer: str) -> bool:
    """Whether a schema holds superseded versions."""
    return layer.endswith("_history")


def kind_of(layer: str) -> Kind:
    """How the datasets of a declared layer come to be."""
    return Kind.LOADED if layer == RAW else Kind.BUILT


def published_as(layer: str) -> str:
    """Where accepted rows of a declared layer stand."""
    return VALIDATED if layer == RAW else layer


@dataclass(frozen=True)
class Layers:
    """A project's layers. `built` are in order: a model reads what is validated, and built layers up to its own."""

    built: tuple[str, ...] = BUILT

    @property
    def declared(self) -> tuple[str, ...]:
        """Layers that contracts are written for."""
        return (RAW, *self.built)

    @property
    def published(self) -> tuple[str, ...]:
        """Schemas that people read."""
        return (VALIDATED, *self.built)

    @property
    def histories(self) -> tuple[str, ...]:
        return tuple(map(history_of, self.published))

    @property
    def schemas(self) -> tuple[str, ...]:
        """All schemas of a warehouse."""
        pairs = (schema for layer in self.published for schema in (layer, history_of(layer)))
        return (RAW, CANDIDATE, QUARANTINE, *pairs, LEDGER)

    def read_by(self, layer: str) -> frozenset[str]:
        """What a model of a layer may read; anything else has not passed a gate, or is not data."""
        return frozenset((VALIDATED, *self.built[: self.built.index(layer) + 1]))
