CREATE TABLE events (seq INTEGER PRIMARY KEY, event_time TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE namespaces (name TEXT PRIMARY KEY, description TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE TABLE datasets (
    namespace TEXT NOT NULL, name TEXT NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    current_version TEXT, tags TEXT NOT NULL DEFAULT '[]', deleted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (namespace, name)
);
CREATE TABLE versions (
    version TEXT PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, created_at TEXT NOT NULL,
    fields TEXT NOT NULL, run TEXT, seq INTEGER NOT NULL
);
CREATE TABLE dataset_facets (
    seq INTEGER PRIMARY KEY, version TEXT NOT NULL, run TEXT, kind TEXT NOT NULL, name TEXT NOT NULL,
    event_time TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX dataset_facets_version ON dataset_facets (version);
CREATE TABLE columns (
    version TEXT NOT NULL, field TEXT NOT NULL, from_namespace TEXT NOT NULL, from_name TEXT NOT NULL,
    from_field TEXT NOT NULL, description TEXT, type TEXT,
    PRIMARY KEY (version, field, from_namespace, from_name, from_field)
);
CREATE TABLE jobs (
    namespace TEXT NOT NULL, name TEXT NOT NULL, simple_name TEXT NOT NULL, parent TEXT, created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL, current_version TEXT, current_run TEXT, facets TEXT NOT NULL DEFAULT '{}',
    inputs TEXT NOT NULL DEFAULT '[]', outputs TEXT NOT NULL DEFAULT '[]',
    PRIMARY KEY (namespace, name)
);
CREATE TABLE runs (
    run TEXT PRIMARY KEY, namespace TEXT NOT NULL, job TEXT NOT NULL, created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL, state TEXT NOT NULL, started_at TEXT, ended_at TEXT, job_version TEXT,
    args TEXT NOT NULL DEFAULT '{}', facets TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX runs_job ON runs (namespace, job);
CREATE TABLE run_datasets (
    run TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
    PRIMARY KEY (run, kind, namespace, name)
);
