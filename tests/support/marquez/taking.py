"""What the double makes of an event: rows of SQLite, as a real server's answers show them afterwards."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

Fields = dict[str, Any]
ALLOWED = re.compile(r"[a-zA-Z:;=/0-9_\-.@+]+")
STATES = {"complete": "COMPLETED", "fail": "FAILED", "abort": "ABORTED"}
KINDS = {"dataQualityAssertions": "input", "dataQualityMetrics": "input", "outputStatistics": "output"}
TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?)?")
REDACTED = "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 1, column: {}]"


class RefusedError(Exception):
    """An answer that is no success. `body` None: a page of HTML."""

    def __init__(self, status: int, body: Fields | None = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def parsed(raw: bytes) -> Fields:
    """The event in a request. Raises RefusedError as a real server refuses it."""
    text = raw.decode()
    if not text:
        raise RefusedError(422, {"errors": ["The request body must not be null"]})
    try:
        event = json.loads(text)
    except ValueError:
        start, end = REDACTED.format(1), REDACTED.format(len(text) + 1)
        said = f"Unexpected end-of-input: expected close marker for Object (start marker at {start})\n at {end}"
        raise RefusedError(500, {"code": 400, "message": said}) from None
    if isinstance(event, list):
        kind = "marquez.service.models.LineageEvent"
        said = f"Cannot deserialize value of type `{kind}` from Array value (token `JsonToken.START_ARRAY`)"
        raise RefusedError(500, {"code": 400, "message": f"{said}\n at {REDACTED.format(1)}"})
    _check_time(event, text)
    _check(event)
    return dict(event)


def _check_time(event: Fields, text: str) -> None:
    value = event.get("eventTime")
    if value is None:
        return
    try:
        zoned = "T" in value and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        zoned = False
    if zoned:
        return
    read = TIME.match(value)
    problem = (
        f"Failed to deserialize java.time.ZonedDateTime: (java.time.format.DateTimeParseException) Text '{value}'"
        f" could not be parsed at index {read.end() if read else 0}"
    )
    where = REDACTED.format(text.rindex(json.dumps(list(event.values())[-1])) + 1)
    said = f'Cannot deserialize value of type `java.time.ZonedDateTime` from String "{value}": {problem}\n at {where}'
    chain = '(through reference chain: marquez.service.models.LineageEvent["eventTime"])'
    raise RefusedError(500, {"code": 400, "message": f"{said} {chain}"})


def kind_of(event: Fields) -> str:
    """RunEvent, JobEvent or DatasetEvent."""
    return str(event.get("schemaURL") or "RunEvent").rpartition("/")[2]


def _check(event: Fields) -> None:
    required = {"RunEvent": ("eventTime", "run", "job", "producer")}.get(kind_of(event), ("eventTime", "producer"))
    problems = [f"{name} must not be null" for name in required if event.get(name) is None]
    job_type = ((event.get("job") or {}).get("facets") or {}).get("jobType")
    if job_type is not None and job_type.get("jobType") is None:
        problems.append("job.facets.jobType.jobType must not be null")
    if problems:
        raise RefusedError(422, {"errors": sorted(problems)})
    if kind_of(event) == "RunEvent" and event.get("eventType") is None:
        raise RefusedError(500)


def moment(text: str) -> str:
    """As Marquez writes a time: UTC, `Z`, no zeros at the end."""
    at = datetime.fromisoformat(text).astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}" + (f".{at.microsecond:06d}".rstrip("0") if at.microsecond else "") + "Z"


def now() -> str:
    return moment(datetime.now(UTC).isoformat())


class Taking:
    """One event, into the store."""

    def __init__(self, store: sqlite3.Connection, event: Fields) -> None:
        self.store = store
        self.event = event
        self.at = moment(event["eventTime"])
        self.kind = kind_of(event)

    def take(self) -> None:
        """Raises RefusedError for a name that is not allowed; what came before it in the event is kept then, too."""
        if self.kind == "DatasetEvent":
            self._dataset(self.event["dataset"], None, "output", is_done=True)
        elif self.kind == "JobEvent":
            self._job_event()
        else:
            self._run_event()
        self.store.execute("INSERT INTO events (event_time, body) VALUES (?, ?)", (self.at, json.dumps(self.event)))

    def _namespace(self, name: str) -> None:
        self.store.execute(
            "INSERT INTO namespaces VALUES (?, NULL, ?, ?) ON CONFLICT DO NOTHING", (name, self.at, self.at)
        )

    def _job_event(self) -> None:
        job = self.event["job"]
        self._job(job, job["name"], None)
        for dataset in self.event.get("inputs") or ():
            self._dataset(dataset, None, "input", is_done=True)
        self._set_job(job["namespace"], job["name"], current_version=str(uuid.uuid4()))

    def _run_event(self) -> None:
        event, run, job = self.event, self.event["run"], self.event["job"]
        kind = event["eventType"].lower()
        state = STATES.get(kind, "RUNNING")
        parent = (run.get("facets") or {}).get("parent")
        name = f"{parent['job']['name']}.{job['name']}" if parent else job["name"]
        if not job["namespace"]:
            raise RefusedError(400)
        self._job(job, name, parent)
        self._run(run, name, state)
        is_done = state == "COMPLETED"
        for each in event.get("inputs") or ():
            self._dataset(each, run["runId"], "input", is_done=is_done)
        fields = {(d["namespace"], d["name"], f["name"]) for d in event.get("inputs") or () for f in _fields(d)}
        for each in event.get("outputs") or ():
            version = self._dataset(each, run["runId"], "output", is_done=is_done)
            self._columns(version, each, fields)
        if state in STATES.values():
            self._end(run["runId"], job["namespace"], name)

    def _job(self, job: Fields, name: str, parent: Fields | None) -> None:
        self._namespace(job["namespace"])
        if parent:
            self._job({"namespace": parent["job"]["namespace"], "facets": {}}, parent["job"]["name"], None)
            self._insert_run(parent["run"]["runId"], parent["job"]["namespace"], parent["job"]["name"], "RUNNING")
        self.store.execute(
            "INSERT INTO jobs (namespace, name, simple_name, parent, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET updated_at = excluded.updated_at",
            (job["namespace"], name, job.get("name", name), parent and parent["job"]["name"], self.at, self.at),
        )
        query = "SELECT facets FROM jobs WHERE (namespace, name) = (?, ?)"
        [known] = self.store.execute(query, (job["namespace"], name)).fetchone()
        facets = json.dumps(json.loads(known) | bare(job.get("facets") or {}))
        current = {"current_run": parent["run"]["runId"]} if parent else {}
        self._set_job(job["namespace"], name, facets=facets, **current)

    def _set_job(self, namespace: str, name: str, **values: str) -> None:
        assigned = ", ".join(f"{column} = ?" for column in values)
        self.store.execute(
            f"UPDATE jobs SET {assigned} WHERE (namespace, name) = (?, ?)", (*values.values(), namespace, name)
        )

    def _insert_run(self, run: str, namespace: str, job: str, state: str) -> None:
        started = self.at if state == "RUNNING" else None
        self.store.execute(
            "INSERT INTO runs (run, namespace, job, created_at, updated_at, state, started_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (run, namespace, job, self.at, self.at, state, started),
        )

    def _run(self, run: Fields, job: str, state: str) -> None:
        name, namespace = run["runId"], self.event["job"]["namespace"]
        self._insert_run(name, namespace, job, state)
        [known, args] = self.store.execute("SELECT facets, args FROM runs WHERE run = ?", (name,)).fetchone()
        facets = bare(run.get("facets") or {})
        ended = "ended_at" if state in STATES.values() else "started_at"
        self.store.execute(
            f"UPDATE runs SET updated_at = ?, state = ?, {ended} = ?, facets = ?, args = ? WHERE run = ?",
            (self.at, state, self.at, json.dumps(json.loads(known) | facets),
             json.dumps(json.loads(args) | _args(facets)), name),
        )  # fmt: skip
        if "parent" not in facets:
            self._set_job(namespace, job, current_run=name)
        if self.event["eventType"] == "OTHER":
            self._set_job(namespace, job, updated_at=now())

    def _end(self, run: str, namespace: str, job: str) -> None:
        query = (
            "SELECT namespace, name FROM run_datasets JOIN datasets USING (namespace, name)"
            " WHERE (run, kind) = (?, ?) AND current_version IS NOT NULL ORDER BY 1, 2"
        )
        inputs, outputs = (list(map(tuple, self.store.execute(query, (run, kind)))) for kind in ("input", "output"))
        version = str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([namespace, job, inputs, outputs])))
        self.store.execute("UPDATE runs SET job_version = ? WHERE run = ?", (version, run))
        sides = {"inputs": json.dumps(inputs), "outputs": json.dumps(outputs)}
        self._set_job(namespace, job, current_version=version, **sides)

    def _dataset(self, dataset: Fields, run: str | None, kind: str, *, is_done: bool) -> str:
        """The version that the event is about."""
        namespace, name = dataset["namespace"], dataset["name"]
        if not (ALLOWED.fullmatch(namespace) and name):
            raise RefusedError(400)
        self._namespace(namespace)
        self.store.execute(
            "INSERT INTO datasets (namespace, name, created_at, updated_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET updated_at = excluded.updated_at, deleted = 0",
            (namespace, name, self.at, self.at),
        )
        version = self._version(dataset, run, kind)
        if run:
            self.store.execute(
                "INSERT INTO run_datasets VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version",
                (run, kind, namespace, name, version),
            )
        if is_done:
            touched = now() if run and kind == "output" else self.at
            self.store.execute(
                "UPDATE datasets SET current_version = ?, updated_at = ? WHERE (namespace, name) = (?, ?)",
                (version, touched, namespace, name),
            )
        facets = [bare(dataset.get(part) or {}) for part in ("facets", "inputFacets", "outputFacets")]
        self._facets(version, run, facets)
        return version

    def _version(self, dataset: Fields, run: str | None, kind: str) -> str:
        namespace, name, fields = dataset["namespace"], dataset["name"], json.dumps(_fields(dataset))
        where = (namespace, name)
        known = self.store.execute("SELECT current_version FROM datasets WHERE (namespace, name) = (?, ?)", where)
        if kind == "input" and (current := known.fetchone()[0]):
            return str(current)
        made_by = run if kind == "output" else None
        version = str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([namespace, name, fields, made_by])))
        self.store.execute(
            "INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?, (SELECT COUNT(*) FROM versions)) ON CONFLICT DO NOTHING",
            (version, namespace, name, self.at, fields, made_by),
        )
        return version

    def _facets(self, version: str, run: str | None, parts: Iterable[Fields]) -> None:
        rows = [
            (version, run, KINDS.get(name, "dataset"), name, self.at, json.dumps(body))
            for facets in parts
            for name, body in facets.items()
        ]
        self.store.executemany(
            "INSERT INTO dataset_facets (version, run, kind, name, event_time, body) VALUES (?, ?, ?, ?, ?, ?)", rows
        )

    def _columns(self, version: str, dataset: Fields, known: set[tuple[str, str, str]]) -> None:
        """Only between columns that the schema facets of this very event name."""
        own = {field["name"] for field in _fields(dataset)}
        lineage = ((dataset.get("facets") or {}).get("columnLineage") or {}).get("fields") or {}
        rows = [
            (version, column, given["namespace"], given["name"], given["field"],
             of.get("transformationDescription"), of.get("transformationType"))
            for column, of in lineage.items()
            for given in of["inputFields"]
            if column in own and (given["namespace"], given["name"], given["field"]) in known
        ]  # fmt: skip
        self.store.executemany("INSERT INTO columns VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", rows)


def _fields(dataset: Fields) -> list[Fields]:
    return list(((dataset.get("facets") or {}).get("schema") or {}).get("fields") or [])


def _args(facets: Fields) -> Fields:
    args: Fields = {}
    if nominal := facets.get("nominalTime"):
        for given, name in (("nominalStartTime", "nominal_start_time"), ("nominalEndTime", "nominal_end_time")):
            if given in nominal:
                args[name] = moment(nominal[given]).replace(":00Z", "Z")
    if parent := facets.get("parent"):
        args |= {"run_id": parent["run"]["runId"], **parent["job"]}
    return args


def bare(facets: Any) -> Any:
    """Without what is null, which does not come back."""
    if isinstance(facets, dict):
        return {key: bare(value) for key, value in facets.items() if value is not None}
    return [bare(value) for value in facets] if isinstance(facets, list) else facets
