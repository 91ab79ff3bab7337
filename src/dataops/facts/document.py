"""What people look at, as frozen documents: a page, a message and `--json` say the same, since they read the same.

A field's docstring is its description in docs/reference/json/. Times are UTC without a zone here, `…Z` in JSON.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

Fields = dict[str, Any]
"""Fields of a document, by name."""


def iso(moment: datetime) -> str:
    """2026-05-01T02:06:00Z."""
    return moment.replace(microsecond=0, tzinfo=UTC).isoformat().replace("+00:00", "Z")


def plain(value: object) -> object:
    """The JSON form of a value from a table: exact numbers as text, times as ISO 8601."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _plain_values(values: Fields | None) -> dict[str, object] | None:
    return None if values is None else {name: plain(value) for name, value in values.items()}


Moment = Annotated[
    datetime,
    PlainSerializer(iso, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Values = Annotated[Fields, PlainSerializer(_plain_values, return_type=Fields, when_used="json")]
"""Columns of a row."""
Receipt = Annotated[str, Field(json_schema_extra={"pattern": "^[0-9a-f]{64}$"})]
Amount = Annotated[str, Field(json_schema_extra={"pattern": r"^-?[0-9]+(\.[0-9]+)?$"})]
"""Exact text."""


class Part(BaseModel):
    """A part of a document."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, json_schema_serialization_defaults_required=True
    )


class Document(Part):
    """A document of its own: JSON names it as `dataops.<name>/<version>`."""

    document: ClassVar[str]
    major: ClassVar[int] = 1

    @classmethod
    def schema_name(cls) -> str:
        return f"dataops.{cls.document}/{cls.major}"

    def content(self) -> Fields:
        """As JSON has it."""
        return {"schema": self.schema_name(), **self.model_dump(mode="json", by_alias=True)}

    def text(self) -> str:
        """JSON, as `--json` prints it."""
        return json.dumps(self.content(), indent=1, ensure_ascii=False)

    @classmethod
    def json_schema(cls) -> Fields:
        """What docs/reference/json/<name>.json says."""
        schema: Fields = _bare(cls.model_json_schema(mode="serialization", by_alias=True))
        schema["properties"] = {"schema": {"const": cls.schema_name()}} | schema["properties"]
        schema["required"] = ["schema", *schema.get("required", ())]
        about = " ".join((cls.__doc__ or "").split())
        named = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": cls.schema_name(),
            "description": f"{about} Fields are only ever added within a major number.",
        }
        return named | {key: value for key, value in schema.items() if key not in named}


def _bare(schema: Any) -> Any:  # noqa: ANN401  a part of a JSON schema
    """Without titles, which repeat names, and open to fields that a later release adds."""
    if isinstance(schema, list):
        return [_bare(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    named = schema.get("properties")
    kept = {
        key: _bare(value)
        for key, value in schema.items()
        if key != "properties"
        and not (key == "title" and isinstance(value, str))
        and not (key == "additionalProperties" and value is False)
    }
    return kept | ({"properties": {name: _bare(part) for name, part in named.items()}} if named else {})
