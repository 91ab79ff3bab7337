"""Whether an event is as the standard says: its parts against OpenLineage's own classes, our facet by its schema.

OpenLineage's classes are generated from its specification; that itself is not installed. What is checked: no field that
there is not, none missing, each of its type, `_schemaURL` of that very class.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import types
import typing
from pathlib import Path
from typing import Any

import attr
import jsonschema
from openlineage.client import generated  # noqa: TID251  what an event is held against
from openlineage.client.generated import base  # noqa: TID251

FACETS = Path(__file__).resolve().parents[2] / "lineage" / "facets"


def _classes() -> dict[str, type]:
    """Facets by the address of their schema."""
    found = {}
    for module in pkgutil.iter_modules(generated.__path__, f"{generated.__name__}."):
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and issubclass(value, base.BaseFacet):
                found[value._get_schema()] = value
    return found


CLASSES = _classes()


def problems(event: dict[str, Any]) -> list[str]:
    """What is not as the standard says; empty for an event that is."""
    return list(_of(base.RunEvent, event, "event"))


def _of(kind: Any, value: Any, where: str) -> typing.Iterator[str]:
    origin = typing.get_origin(kind)
    if origin in {types.UnionType, typing.Union}:
        told = [list(_of(option, value, where)) for option in typing.get_args(kind)]
        yield from min(told, key=len)
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where}: no list"
            return
        for number, item in enumerate(value):
            yield from _of(typing.get_args(kind)[0], item, f"{where}[{number}]")
    elif origin is dict:
        yield from _in_dict(typing.get_args(kind)[1], value, where)
    elif attr.has(kind):
        yield from _fields(kind, value, where)
    elif not _is(kind, value):
        yield f"{where}: {value!r} is no {kind}"


def _is(kind: Any, value: Any) -> bool:
    if kind is base.EventType:
        return value in {option.value for option in base.EventType}
    numbers = (int, float) if kind is float else kind
    return kind is Any or (isinstance(value, numbers) and isinstance(value, bool) is (kind is bool))


def _in_dict(kind: Any, value: Any, where: str) -> typing.Iterator[str]:
    for name, item in value.items():
        if isinstance(kind, type) and issubclass(kind, base.BaseFacet):
            yield from _facet(name, item, f"{where}.{name}")
        else:
            yield from _of(kind, item, f"{where}.{name}")


def _facet(name: str, value: dict[str, Any], where: str) -> typing.Iterator[str]:
    address = value.get("_schemaURL", "")
    if address in CLASSES:
        yield from _fields(CLASSES[address], value, where)
        return
    file = FACETS / address.partition("/facets/")[2].partition("#")[0]
    if not file.is_file():
        yield f"{where}: no schema {address!r}"
        return
    for error in jsonschema.Draft202012Validator(json.loads(file.read_text("utf-8"))).iter_errors({name: value}):
        yield f"{where}: {error.message}"


def _fields(kind: type, value: Any, where: str) -> typing.Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where}: no object"
        return
    hints = typing.get_type_hints(kind)
    known = {field.name: field for field in attr.fields(kind)}
    yield from (f"{where}: unknown field {name!r}" for name in value.keys() - known.keys())
    for name, field in known.items():
        if name in value:
            yield from _of(hints[name], value[name], f"{where}.{name}")
        elif field.default is attr.NOTHING or name in {"_producer", "_schemaURL", "producer", "schemaURL"}:
            yield f"{where}: {name} is missing"
