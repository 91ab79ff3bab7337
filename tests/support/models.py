"""More models for the small project: some whole, some by key, in the group of the facts or in one of their own."""

from __future__ import annotations

from pathlib import Path

TYPES = {
    "date": "date",
    "integer": "integer",
    "varchar": "varchar",
    "numeric(19, 4)": "numeric",
    "numeric(38, 6)": "numeric",
}


def add_model(
    project: Path,
    table: str,
    sql: str,
    columns: dict[str, str],
    key: tuple[str, ...],
    number: int,
    group: str = "curated",
) -> None:
    """Writes SQL, contract and suite of curated.<table>; `columns` are those of the final SELECT with their types."""
    (project / "transforms" / "curated" / f"{table}.sql").write_text(f"-- One row per key. Read by the tests.\n{sql}\n")
    listed = "".join(
        _column(name, kind, f"MOD-{number}{at:02d}", name in key) for at, (name, kind) in enumerate(columns.items())
    )
    (project / "contracts" / "curated" / f"{table}.yml").write_text(
        f"dataset: adventureworks/curated/{table}\n"
        f"x-dataops:\n  group: {group}\n  key: [{', '.join(key)}]\n  owner: tests@adventure-works.example\n"
        f"  may_be_empty: true\n"
        f"columns:\n{listed}"
        f"checks:\n  - duplicate:\n      columns: [{', '.join(key)}]\n      name: key is unique\n"
        f"      attributes: {{rule: MOD-{number}90, severity: critical, why: A key names one row.}}\n"
    )
    (project / "expectations" / "curated" / f"{table}.yml").write_text(
        f"suite: curated.{table}\nexpectations:\n  - type: unexpected_rows_expectation\n"
        f'    kwargs: {{unexpected_rows_query: "SELECT b._row FROM {{batch}} b WHERE b.{key[0]} IS NULL"}}\n'
        "    severity: warning\n    description: key is there\n    notes: It names the row.\n"
        f"    meta: {{rule: MOD-{number}91}}\n"
    )


def _column(name: str, kind: str, rule: str, in_key: bool) -> str:
    text = f"  - name: {name}\n    data_type: {TYPES[kind]}\n"
    if kind.startswith("numeric"):
        precision, scale = kind[8:-1].split(", ")
        text += f"    numeric_precision: {precision}\n    numeric_scale: {scale}\n"
    if in_key:
        text += (
            f"    checks:\n      - missing: {{name: {name} is there, attributes:"
            f" {{rule: {rule}, severity: critical, why: A key.}}}}\n"
        )
    return text


def add_checkpoint(project: Path, group: str) -> None:
    """A gate for models, as that of the facts."""
    text = (project / "checkpoints" / "curated.yml").read_text()
    (project / "checkpoints" / f"{group}.yml").write_text(text.replace("group: curated", f"group: {group}"))
