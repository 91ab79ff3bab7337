"""What the double says: documents of datasets, jobs, runs, and graphs, in the shapes that a real server gave."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from tests.support.marquez.taking import ALLOWED, Fields, RefusedError, moment

Rows = sqlite3.Connection
EVENT_FACETS = {
    "run": "nominalTime parent",
    "job": "documentation sourceCodeLocation sql jobType",
    "dataset": "documentation schema dataSource description lifecycleStateChange columnLineage symlinks",
}
LATEST_RUNS = 10


def not_found(what: str, name: str) -> RefusedError:
    return RefusedError(404, {"code": 404, "message": f"{what} '{name}' not found."})


def namespaces(rows: Rows) -> Fields:
    found = rows.execute("SELECT name, created_at, updated_at, description FROM namespaces ORDER BY name").fetchall()
    if any(not ALLOWED.fullmatch(name) for name, *_ in found):
        said = "There was an error processing your request. It has been logged (ID 0)."
        raise RefusedError(500, {"code": 500, "message": said})
    names = ("name", "createdAt", "updatedAt", "description")
    own = {"ownerName": "anonymous", "isHidden": False}
    return {"namespaces": [dict(zip(names, row, strict=True)) | own for row in found]}


def dataset(rows: Rows, namespace: str, name: str, *, columns: bool = True) -> Fields:
    query = "SELECT * FROM datasets WHERE (namespace, name) = (?, ?) AND NOT deleted"
    row = rows.execute(query, (namespace, name)).fetchone()
    if row is None:
        raise not_found("Dataset", name)
    version = row["current_version"]
    return _described(rows, row) | {
        "currentVersion": version,
        "facets": _dataset_facets(rows, version),
        "columnLineage": _column_lineage(rows, version) if columns else None,
        "deleted": False,
    }


def _described(rows: Rows, row: sqlite3.Row) -> Fields:
    version = row["current_version"]
    return {
        "id": {"namespace": row["namespace"], "name": row["name"]},
        "type": "DB_TABLE",
        "name": row["name"],
        "physicalName": row["name"],
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
        "namespace": row["namespace"],
        "sourceName": "default",
        "fields": _fields(rows, version),
        "tags": json.loads(row["tags"]),
        "lastModifiedAt": None,
        "description": None,
        "lastLifecycleState": None if version is None else "",
    }


def _fields(rows: Rows, version: str | None) -> list[Fields]:
    found = rows.execute("SELECT fields FROM versions WHERE version = ?", (version,)).fetchone()
    return [
        {"name": f["name"], "type": f.get("type"), "tags": [], "description": f.get("description")}
        for f in json.loads(found[0] if found else "[]")
    ]


def _dataset_facets(rows: Rows, version: str | None) -> Fields:
    query = "SELECT name, body FROM dataset_facets WHERE version = ? AND kind <> 'output' ORDER BY event_time, seq"
    return {name: json.loads(body) for name, body in rows.execute(query, (version,))}


def _column_lineage(rows: Rows, version: str | None) -> list[Fields] | None:
    query = "SELECT * FROM columns WHERE version = ? ORDER BY field, from_namespace, from_name, from_field"
    found: dict[str, Fields] = {}
    for row in rows.execute(query, (version,)):
        how = {"transformationDescription": row["description"], "transformationType": row["type"]}
        entry = found.setdefault(row["field"], {"name": row["field"], "inputFields": []} | how)
        entry["inputFields"].append(_given(row) | how)
    return list(found.values()) or None


def _given(row: sqlite3.Row) -> Fields:
    return {"namespace": row["from_namespace"], "dataset": row["from_name"], "field": row["from_field"]}


def datasets(rows: Rows, namespace: str, limit: int, offset: int) -> Fields:
    where = "FROM datasets WHERE namespace = ? AND NOT deleted"
    [total] = rows.execute(f"SELECT COUNT(*) {where}", (namespace,)).fetchone()
    names = rows.execute(f"SELECT name {where} ORDER BY name LIMIT ? OFFSET ?", (namespace, limit, offset)).fetchall()
    return {"totalCount": total, "datasets": [dataset(rows, namespace, name) for (name,) in names]}


def versions(rows: Rows, namespace: str, name: str) -> Fields:
    known = dataset(rows, namespace, name)
    query = "SELECT * FROM versions WHERE (namespace, name) = (?, ?) ORDER BY seq DESC"
    found = []
    for row in rows.execute(query, (namespace, name)).fetchall():
        run = run_of(rows, row["run"]) if row["run"] else None
        same = {key: known[key] for key in ("id", "name", "physicalName", "sourceName", "tags", "description", "type")}
        found.append(
            same
            | {
                "namespace": namespace,
                "createdAt": row["created_at"],
                "version": row["version"],
                "currentSchemaVersion": row["version"],
                "fields": _fields(rows, row["version"]),
                "lifecycleState": "",
                "createdByRun": run,
                "facets": _dataset_facets(rows, row["version"]),
            }
        )
    return {"versions": found, "totalCount": len(found)}


def run_of(rows: Rows, run: str) -> Fields:
    row = rows.execute("SELECT * FROM runs WHERE run = ?", (run,)).fetchone()
    if row is None:
        raise not_found("Run", run)
    version = {"namespace": row["namespace"], "name": row["job"], "version": row["job_version"]}
    return {
        "id": run,
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
        "nominalStartTime": None,
        "nominalEndTime": None,
        "state": row["state"],
        "startedAt": row["started_at"],
        "endedAt": row["ended_at"],
        "durationMs": _milliseconds(row["started_at"], row["ended_at"]),
        "args": json.loads(row["args"]),
        "jobVersion": version if row["job_version"] else None,
        "inputDatasetVersions": _run_datasets(rows, run, "input"),
        "facets": json.loads(row["facets"]),
        "outputDatasetVersions": _run_datasets(rows, run, "output"),
    }


def _milliseconds(start: str | None, end: str | None) -> int | None:
    if start is None or end is None:
        return None
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds() * 1000)


def _run_datasets(rows: Rows, run: str, kind: str) -> list[Fields]:
    found = rows.execute("SELECT * FROM run_datasets WHERE (run, kind) = (?, ?) ORDER BY namespace, name", (run, kind))
    query = "SELECT name, body FROM dataset_facets WHERE (version, run, kind) = (?, ?, ?) ORDER BY event_time, seq"
    return [
        {
            "datasetVersionId": {key: row[key] for key in ("namespace", "name", "version")},
            "facets": {name: json.loads(body) for name, body in rows.execute(query, (row["version"], run, kind))},
        }
        for row in found.fetchall()
    ]


def run_facets(rows: Rows, run: str) -> Fields:
    return {"runId": run, "facets": run_of(rows, run)["facets"]}


def job(rows: Rows, namespace: str, name: str) -> Fields:
    row = _job_row(rows, namespace, name)
    facets, latest = json.loads(row["facets"]), runs_of(rows, namespace, name)["runs"][:LATEST_RUNS]
    kind = facets.get("jobType") or {}
    return _job_described(row) | {
        "latestRun": latest[0] if latest else None,
        "latestRuns": latest or None,
        "facets": facets,
        "currentVersion": row["current_version"],
        "labels": [kind[part] for part in ("jobType", "integration") if part in kind],
        "tags": [],
    }


def _job_row(rows: Rows, namespace: str, name: str) -> sqlite3.Row:
    row = rows.execute("SELECT * FROM jobs WHERE (namespace, name) = (?, ?)", (namespace, name)).fetchone()
    if row is None:
        raise not_found("Job", name)
    return row  # type: ignore[no-any-return]


def _job_described(row: sqlite3.Row) -> Fields:
    return {
        "id": {"namespace": row["namespace"], "name": row["name"]},
        "type": "BATCH",
        "name": row["name"],
        "simpleName": row["simple_name"],
        "parentJobName": row["parent"],
        "parentJobUuid": None if row["parent"] is None else "of the parent",
        "createdAt": row["created_at"],
        "updatedAt": row["updated_at"],
        "namespace": row["namespace"],
        "inputs": [dict(zip(("namespace", "name"), each, strict=True)) for each in json.loads(row["inputs"])],
        "outputs": [dict(zip(("namespace", "name"), each, strict=True)) for each in json.loads(row["outputs"])],
        "location": None,
        "description": None,
    }


def jobs(rows: Rows, namespace: str, limit: int) -> Fields:
    where = "FROM jobs WHERE namespace = ?"
    [total] = rows.execute(f"SELECT COUNT(*) {where}", (namespace,)).fetchone()
    query = f"SELECT name {where} ORDER BY updated_at DESC, name LIMIT ?"
    return {
        "totalCount": total,
        "jobs": [job(rows, namespace, name) for (name,) in rows.execute(query, (namespace, limit)).fetchall()],
    }


def runs_of(rows: Rows, namespace: str, name: str) -> Fields:
    _job_row(rows, namespace, name)
    query = "SELECT run FROM runs WHERE (namespace, job) = (?, ?) ORDER BY created_at DESC, rowid DESC"
    found = [run_of(rows, run) for (run,) in rows.execute(query, (namespace, name)).fetchall()]
    return {"runs": found, "totalCount": len(found)}


def lineage(rows: Rows, node: str, depth: int) -> Fields:
    """Jobs within `depth` steps over shared datasets, and every dataset of theirs."""
    kind, namespace, name = _node(node)
    versioned = rows.execute("SELECT * FROM jobs WHERE current_version IS NOT NULL")
    every = {(row["namespace"], row["name"]): row for row in versioned}
    sides = {key: (_pairs(row["inputs"]), _pairs(row["outputs"])) for key, row in every.items()}
    if kind == "dataset":
        dataset(rows, namespace, name)
        reached = {key for key, (given, made) in sides.items() if (namespace, name) in given | made}
    else:
        _job_row(rows, namespace, name)
        reached = {(namespace, name)} & sides.keys()
    for _ in range(depth):
        given = {pair for key in reached for pair in sides[key][0]}
        made = {pair for key in reached for pair in sides[key][1]}
        reached |= {key for key, (reads, writes) in sides.items() if writes & given or reads & made}
    return {"graph": _graph(rows, {key: sides[key] for key in reached})}


Pairs = set[tuple[str, str]]


def _pairs(text: str) -> Pairs:
    return {(namespace, name) for namespace, name in json.loads(text)}


def _node(node: str) -> tuple[str, str, str]:
    kind, _, rest = node.partition(":")
    if kind not in {"dataset", "job"} or ":" not in rest:
        raise RefusedError(404, {"code": 404, "message": "HTTP 404 Not Found"})
    namespace, _, name = rest.rpartition(":")
    return kind, namespace, name


def _graph(rows: Rows, sides: dict[tuple[str, str], tuple[Pairs, Pairs]]) -> list[Fields]:
    edges = [(f"dataset:{':'.join(d)}", f"job:{':'.join(key)}") for key, (reads, _) in sides.items() for d in reads]
    edges += [(f"job:{':'.join(key)}", f"dataset:{':'.join(d)}") for key, (_, writes) in sides.items() for d in writes]
    found = [("JOB", f"job:{':'.join(key)}", _job_node(rows, *key)) for key in sides]
    for namespace, name in {pair for reads, writes in sides.values() for pair in reads | writes}:
        row = rows.execute("SELECT * FROM datasets WHERE (namespace, name) = (?, ?)", (namespace, name)).fetchone()
        found.append(("DATASET", f"dataset:{namespace}:{name}", _described(rows, row)))
    return [_with_edges(*node, edges) for node in sorted(found, key=lambda node: node[1])]


def _with_edges(kind: str, name: str, data: Fields, edges: Iterable[tuple[str, str]]) -> Fields:
    found = [{"origin": origin, "destination": end} for origin, end in sorted(edges) if name in {origin, end}]
    return {
        "id": name,
        "type": kind,
        "data": data,
        "inEdges": [edge for edge in found if edge["destination"] == name],
        "outEdges": [edge for edge in found if edge["origin"] == name],
    }


def _job_node(rows: Rows, namespace: str, name: str) -> Fields:
    row = _job_row(rows, namespace, name)
    run = row["current_run"]
    return _job_described(row) | {"currentRunUuid": run, "latestRun": run_of(rows, run) if run else None}


def column_lineage(rows: Rows, node: str, depth: int, *, downstream: bool) -> Fields:
    """From columns with an origin of their own; of a column without one nothing is told, whatever is made from it."""
    known = _current_columns(rows)
    start = _start(rows, node)
    links = {(own, given) for own, given, _ in known}
    reached = start & {own for own, _ in links}
    for _ in range(depth):
        reached |= {given for own, given in links if own in reached}
        if downstream:
            reached |= {own for own, given in links if given in reached}
    return {"graph": [_column_node(rows, column, known, reached) for column in sorted(reached)]}


Column = tuple[str, str, str]


def _current_columns(rows: Rows) -> list[tuple[Column, Column, sqlite3.Row]]:
    query = (
        "SELECT d.namespace, d.name, c.* FROM columns c JOIN datasets d ON d.current_version = c.version"
        " WHERE NOT d.deleted ORDER BY c.field, c.from_namespace, c.from_name, c.from_field"
    )
    return [
        (
            (row["namespace"], row["name"], row["field"]),
            (row["from_namespace"], row["from_name"], row["from_field"]),
            row,
        )
        for row in rows.execute(query)
    ]


def _start(rows: Rows, node: str) -> set[Column]:
    kind, _, rest = node.partition(":")
    namespace, _, name = rest.rpartition(":")
    column = None
    if kind == "datasetField":
        column = name
        namespace, _, name = namespace.rpartition(":")
    try:
        fields = {field["name"] for field in dataset(rows, namespace, name)["fields"]}
    except RefusedError:
        fields = set()
    chosen = fields if column is None else fields & {column}
    if kind not in {"dataset", "datasetField"} or not chosen:
        raise RefusedError(404, {"code": 404, "message": "Could not find node"})
    return {(namespace, name, field) for field in chosen}


def _column_node(
    rows: Rows, column: Column, known: list[tuple[Column, Column, sqlite3.Row]], reached: set[Column]
) -> Fields:
    namespace, name, field = column
    own = [(given, row) for made, given, row in known if made == column]
    about = dataset(rows, namespace, name)
    types = {each["name"]: each["type"] for each in about["fields"]}
    how = {"description": own[0][1]["description"], "type": own[0][1]["type"]} if own else {}
    data = {
        "namespace": namespace,
        "dataset": name,
        "datasetVersion": about["currentVersion"],
        "field": field,
        "fieldType": types.get(field) if own else "",
        "transformationDescription": how.get("description"),
        "transformationType": how.get("type"),
        "inputFields": [
            _given(row)
            | {
                "datasetVersion": dataset(rows, given[0], given[1])["currentVersion"],
                "transformationDescription": row["description"],
                "transformationType": row["type"],
            }
            for given, row in own
        ],
    }
    me = _column_id(column)
    return {
        "id": me,
        "type": "DATASET_FIELD",
        "data": data,
        "inEdges": [{"origin": me, "destination": _column_id(given)} for given, _ in own],
        "outEdges": [
            {"origin": me, "destination": _column_id(made)}
            for made, given, _ in known
            if given == column and made in reached
        ],
    }


def _column_id(column: Column) -> str:
    return f"datasetField:{':'.join(column)}"


def events(rows: Rows, limit: int, direction: str, before: str, after: str) -> Fields:
    at = "strftime('%Y-%m-%d %H:%M:%f', {})".format  # as text a time without a fraction would come after one with
    where = f"FROM events WHERE {at('event_time')} >= {at('?')} AND {at('event_time')} < {at('?')}"
    between = (moment(after), moment(before))
    [total] = rows.execute(f"SELECT COUNT(*) {where}", between).fetchone()
    order = "DESC" if direction == "desc" else "ASC"
    query = f"SELECT body {where} ORDER BY event_time {order}, seq {order} LIMIT ?"
    found = [_echo(json.loads(body)) for (body,) in rows.execute(query, (*between, limit))]
    return {"events": found, "totalCount": total}


def _echo(event: Fields) -> Fields:
    """As the server had read it: facets that it knows are there, if only as null."""
    echoed = event | {"eventTime": moment(event["eventTime"])}
    for part in ("run", "job"):
        echoed[part] = event[part] | {"facets": _known_facets(part, event[part])}
    for side in ("inputs", "outputs"):
        echoed[side] = [
            each
            | {"facets": _known_facets("dataset", each)}
            | {kind: each.get(kind) for kind in ("inputFacets", "outputFacets")}
            for each in event.get(side) or ()
        ]
    return echoed


def _known_facets(part: str, of: Fields) -> Fields:
    return dict.fromkeys(EVENT_FACETS[part].split()) | (of.get("facets") or {})


def search(rows: Rows, text: str, limit: int) -> Fields:
    query = (
        "SELECT 'DATASET' type, name, updated_at, namespace FROM datasets WHERE name LIKE ? AND NOT deleted"
        " UNION ALL SELECT 'JOB', name, updated_at, namespace FROM jobs WHERE name LIKE ? ORDER BY updated_at DESC"
    )
    found: list[Any] = [
        {
            "type": kind,
            "name": name,
            "updatedAt": at,
            "namespace": namespace,
            "nodeId": f"{kind.lower()}:{namespace}:{name}",
        }
        for kind, name, at, namespace in rows.execute(query, (f"%{text}%", f"%{text}%"))
    ]
    return {"results": found[:limit], "totalCount": len(found)}


def tag(rows: Rows, namespace: str, name: str, label: str) -> Fields:
    tags = dataset(rows, namespace, name)["tags"]
    changed = json.dumps(sorted({*tags, label}))
    rows.execute("UPDATE datasets SET tags = ? WHERE (namespace, name) = (?, ?)", (changed, namespace, name))
    return dataset(rows, namespace, name, columns=False)


def delete(rows: Rows, namespace: str, name: str) -> Fields:
    gone = dataset(rows, namespace, name, columns=False)
    rows.execute("UPDATE datasets SET deleted = 1 WHERE (namespace, name) = (?, ?)", (namespace, name))
    return gone
