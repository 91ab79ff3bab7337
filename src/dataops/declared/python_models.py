"""Python models: a table that a function of `dataops.analysis` makes, declared by transforms/<layer>/<table>.yml.

The function gets its inputs as Arrow and returns Arrow; what it may read is declared, and nothing else reaches it. The
file is read here and the function's source only hashed: nothing of it is imported before it is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated

from pydantic import Field

from dataops.declared.declarations import Sentence
from dataops.declared.errors import DeclarationError
from dataops.declared.layers import Layers
from dataops.declared.models import Dataset, Model, refuse_layer
from dataops.declared.yaml_files import Strict, read

_ANALYSIS = "dataops.analysis"
_IMPORT = re.compile(r"^from dataops\.analysis(?:\.(\w+))? import (\([^)]*\)|[^\n]+)", re.MULTILINE)
_FUNCTION = re.compile(r"^def (\w+)\(", re.MULTILINE)
FUNCTION = re.compile(r"([a-z_][a-z0-9_]*)\.([a-z_][a-z0-9_]*)")


class Made(Strict):
    """Columns of the table, and the columns of inputs that go into each; without `how`: each of them as it is."""

    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    of: Annotated[dict[str, tuple[str, ...]], Field(alias="from", min_length=1)]  # input, or what it is: its columns
    how: Sentence | None = None


class _File(Strict):
    """The file transforms/<layer>/<table>.yml."""

    says: Sentence  # what one row is, and who reads it
    function: Annotated[str, Field(pattern=f"^{FUNCTION.pattern}$")]  # module.name within dataops.analysis
    inputs: Annotated[tuple[str, ...] | dict[str, str], Field(min_length=1)]  # or what each is to the function
    incremental_by: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()  # of project.yml; the function takes them by name
    lineage: Annotated[tuple[Made, ...], Field(min_length=1)]


@dataclass(frozen=True)
class PythonModel(Model):
    """One function that makes one table; `text` is its declaration and its module's source."""

    function: str
    parameters: Mapping[str, float] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    """input -> the name by which the function knows it, if that is not its own"""
    lineage: tuple[Made, ...] = ()

    def input(self, name: str) -> Dataset | None:
        """The input that goes by this name in `lineage`, None where there is none."""
        named = {role: of for of, role in self.roles.items()}.get(name, name)
        return next((dataset for dataset in self.inputs if ".".join(dataset) == named), None)

    def reads(self, dataset: Dataset) -> tuple[str, ...]:
        """The columns of an input that its lineage names: the function gets no others."""
        named = [column for part in self.lineage for name in part.of if self.input(name) == dataset
                 for column in part.of[name]]  # fmt: skip
        return tuple(dict.fromkeys(named))


def load(folder: Path, layers: Layers, known: Mapping[str, float]) -> Iterator[PythonModel]:
    """Every declared function below transforms/. Raises DeclarationError naming file and key."""
    for path in sorted(folder.glob("*/*.yml")):
        yield _model(path, layers, known)


def _model(path: Path, layers: Layers, known: Mapping[str, float]) -> PythonModel:
    layer, table = path.parent.name, path.stem
    refuse_layer(path, layer, layers)
    declared = read(path, _File, f"transforms/{layer}/{path.name}")
    module, _, name = declared.function.partition(".")
    if unknown := [name for name in declared.parameters if name not in known]:
        there = ", ".join(known) or "none"
        raise DeclarationError(f'{path}: "parameters": project.yml has no {unknown[0]!r}; there are {there}')
    parameters = {name: known[name] for name in declared.parameters}
    text = path.read_text(encoding="utf-8") + _source(path, module, name) + (f"{parameters}" if parameters else "")
    named = declared.inputs.values() if isinstance(declared.inputs, dict) else declared.inputs
    inputs = tuple(sorted({_input(path, text_, layer, layers) for text_ in named}))
    roles = {of: role for role, of in declared.inputs.items()} if isinstance(declared.inputs, dict) else {}
    return PythonModel(
        layer=layer,
        table=table,
        path=path,
        says=declared.says,
        incremental_by=declared.incremental_by,
        inputs=inputs,
        text=text,
        function=declared.function,
        parameters=parameters,
        roles=roles,
        lineage=declared.lineage,
    )


def _source(path: Path, module: str, name: str) -> str:
    """The text of the module and of those it stands on. Raises DeclarationError when it has no such function."""
    file = _file(module)
    if file is None:
        raise DeclarationError(f'{path}: "function" is {module}.{name}; there is no analysis/{module}.py')
    text = file.read_text(encoding="utf-8")
    functions = set(_FUNCTION.findall(text))
    if name not in functions:
        known = ", ".join(sorted(f for f in functions if not f.startswith("_")))
        raise DeclarationError(f'{path}: "function" is {module}.{name}; analysis/{module}.py has {known or "none"}')
    return "".join(_texts(module, {}).values())


def _file(module: str) -> Path | None:
    """The file of a module of `dataops.analysis`; None where there is none."""
    places = (Path(folder) / f"{module}.py" for folder in import_module(_ANALYSIS).__path__)
    return next((place for place in places if place.is_file()), None)


def _texts(module: str, known: dict[str, str]) -> dict[str, str]:
    """The texts of a module and of all of `dataops.analysis` that it imports, by name: a change of any is one of it."""
    file = None if module in known else _file(module)
    if file is None:
        return known
    known[module] = file.read_text(encoding="utf-8")
    for name in _imported(known[module]):
        _texts(name, known)
    return known


def _imported(text: str) -> Iterator[str]:
    """What of `dataops.analysis` a module imports at its top. By its lines: `ast` is not to be used in threads."""
    for module, names in _IMPORT.findall(text):
        yield from [module] if module else (name.split()[0] for name in names.strip("()").split(",") if name.strip())


def _input(path: Path, text: str, layer: str, layers: Layers) -> Dataset:
    of, dot, table = text.partition(".")
    if not dot or of not in layers.read_by(layer):
        allowed = ", ".join(sorted(layers.read_by(layer)))
        raise DeclarationError(f'{path}: "inputs": a {layer} model may not read {text!r}; it reads only {allowed}')
    return of, table
