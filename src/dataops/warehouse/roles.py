"""PostgreSQL's roles: what loads and publishes, what judges, what reads; and the statements that make them.

`dataops_loader` owns the platform's schemas. `dataops_gate` reads candidates and published rows and makes candidates:
SQL of people runs with it. `dataops_consumer` reads published rows and their history. None of them can log in; the
platform's login is a member of all three and takes the least one for what it does. Once the schema `ops` belongs to
the loader, the roles are in use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import sql

from dataops.declared.layers import CANDIDATE, Layers

LOADER, GATE, CONSUMER = "dataops_loader", "dataops_gate", "dataops_consumer"
IN_USE = (
    "SELECT n.nspowner = (SELECT oid FROM pg_roles WHERE rolname = 'dataops_loader')"
    " FROM pg_namespace n WHERE n.nspname = 'ops'"
)


def statements(database: str, login: str, layers: Layers) -> list[str]:
    """Makes the roles and gives them their rights on what is there and what comes; may be run again.

    For a login that may create roles and owns the database, or for its administrator.
    """
    everything = (*_roles(login), *_ownership(database, layers.schemas), *_grants(layers))
    return [statement if isinstance(statement, str) else statement.as_string() for statement in everything]


def _roles(login: str) -> Iterator[str | sql.Composed]:
    for role in (LOADER, GATE, CONSUMER):
        yield (
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')"
            f" THEN CREATE ROLE {role} NOLOGIN; END IF; END $$"
        )
    yield f"GRANT {GATE} TO {LOADER}"  # what the gate made, the loader may replace
    yield sql.SQL("GRANT {} TO {}").format(sql.SQL(f"{LOADER}, {GATE}, {CONSUMER}"), sql.Identifier(login))


def _ownership(database: str, schemas: Sequence[str]) -> Iterator[str | sql.Composed]:
    """Everything of the platform belongs to the loader."""
    place = sql.Identifier(database)
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(place)
    for role, rights in ((LOADER, "CONNECT, CREATE, TEMPORARY"), (GATE, "CONNECT, TEMPORARY"), (CONSUMER, "CONNECT")):
        yield sql.SQL("GRANT {} ON DATABASE {} TO {}").format(sql.SQL(rights), place, sql.SQL(role))
    for schema in schemas:
        yield f"CREATE SCHEMA IF NOT EXISTS {schema}"
        yield f"ALTER SCHEMA {schema} OWNER TO {LOADER}"
        yield f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC"
    listed = ", ".join(f"'{schema}'" for schema in schemas)
    yield (
        "DO $$ DECLARE r record; BEGIN FOR r IN SELECT oid::regclass AS relation FROM pg_class WHERE relkind IN"
        f" ('r', 'v', 'S') AND relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ({listed}))"
        " AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype IN ('a', 'i'))"
        f" LOOP EXECUTE format('ALTER TABLE %s OWNER TO {LOADER}', r.relation); END LOOP; END $$"
    )


def _grants(layers: Layers) -> Iterator[str]:
    """Who may read what; also of tables that are made later."""
    readers = {GATE: (CANDIDATE, *layers.published), CONSUMER: (*layers.published, *layers.histories)}
    for role, schemas in readers.items():
        for schema in schemas:
            yield f"GRANT USAGE ON SCHEMA {schema} TO {role}"
            yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}"
            yield f"ALTER DEFAULT PRIVILEGES FOR ROLE {LOADER} IN SCHEMA {schema} GRANT SELECT ON TABLES TO {role}"
    yield f"GRANT CREATE ON SCHEMA {CANDIDATE} TO {GATE}"
