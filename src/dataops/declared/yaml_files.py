"""Reads YAML that people write and turns every mistake into file, line, key and a suggestion.

Parsing is done by ruamel's safe loader; the slower round-trip loader is used only to find the line of a mistake.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from dataops.declared.errors import DeclarationError


class Strict(BaseModel):
    """A declaration: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


Model = TypeVar("Model", bound=BaseModel)


def read(path: Path, model: type[Model], shown: str) -> Model:
    """The file's content as `model`. Raises DeclarationError naming `shown`, line and key."""
    content = _load(path, shown)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise DeclarationError(_explain(error, path, shown, model)) from None


def _load(path: Path, shown: str) -> Any:  # noqa: ANN401  whatever the file holds, until it is validated
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise DeclarationError(f"{shown}: not UTF-8 text (byte {error.start})") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DeclarationError(f"{shown}, line {line}: not valid YAML: {error.problem}") from None


def _explain(error: ValidationError, path: Path, shown: str, model: type[BaseModel]) -> str:
    """One line per mistake: file, line, rule if it stands in one, what is wrong."""
    tree = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    lines = []
    found = error.errors(include_url=False)
    for item in found:
        if item["type"] == "too_short" and any(_is_within(other["loc"], item["loc"]) for other in found):
            continue  # its entries were left out for their own mistakes
        keys = [key for key in item["loc"] if not _is_type_tag(key, tree, item["loc"])]
        where = f"{shown}, line {_line(tree, keys)}"
        if rule := _rule(tree, keys):
            where += f", rule {rule}"
        lines.append(f"{where}\n  {_problem(dict(item), keys, model)}")
    return "\n".join(lines)


def _is_within(place: tuple[int | str, ...], around: tuple[int | str, ...]) -> bool:
    return len(place) > len(around) and place[: len(around)] == around


def _is_type_tag(key: int | str, tree: Any, loc: tuple[int | str, ...]) -> bool:  # noqa: ANN401
    """Pydantic puts names of union members into `loc`; they are no keys of the file."""
    return isinstance(key, str) and key.startswith("function-") and key in loc and tree is not None


def _line(tree: Any, keys: Sequence[int | str]) -> int:  # noqa: ANN401
    line, node = 1, tree
    for key in keys:
        try:
            position = node.lc.key(key) if hasattr(node, "keys") else node.lc.item(key)
            line, node = position[0] + 1, node[key]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return int(line)


def _rule(tree: Any, keys: Sequence[int | str]) -> str | None:  # noqa: ANN401
    """Id of the innermost rule around the mistake, if it can be found."""
    found, node = None, tree
    for key in keys:
        try:
            node = node[key]
        except (KeyError, IndexError, TypeError):
            break
        if hasattr(node, "get"):
            for holder in (node, node.get("meta"), node.get("attributes")):
                if hasattr(holder, "get") and holder.get("rule"):
                    found = str(holder.get("rule"))
    return found


def _problem(item: dict[str, Any], keys: Sequence[int | str], model: type[BaseModel]) -> str:
    key = str(keys[-1]) if keys else "the file"
    if keys and isinstance(keys[-1], int):
        key = f"{' '.join(str(part) for part in keys[:-1] if isinstance(part, str))} no. {keys[-1] + 1}".strip()
    if item["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, _known_keys(model), n=1)
        return f'unknown key "{key}"' + (f'; did you mean "{close[0]}"?' if close else "")
    if item["type"] == "missing":
        return f'key "{key}" is missing'
    if item["type"] == "too_short":
        return f'"{key}" is empty; write at least {item["ctx"]["min_length"]}'
    return f'"{key}": {item["msg"].removeprefix("Value error, ")}'


def _known_keys(model: type[BaseModel]) -> list[str]:
    """All keys of the model and of the models below it."""
    names: list[str] = []
    seen: set[type[BaseModel]] = set()
    todo: list[Any] = [model]
    while todo:
        current = todo.pop()
        if isinstance(current, type) and issubclass(current, BaseModel):
            if current in seen:
                continue
            seen.add(current)
            for name, field in current.model_fields.items():
                names.append(field.alias or name)
                todo.append(field.annotation)
        else:
            todo.extend(getattr(current, "__args__", ()))
    return names
