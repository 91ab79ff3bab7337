"""How things of the graph are called outside: namespace and name, by the naming rules of OpenLineage.

Source: https://openlineage.io/docs/spec/naming. DuckDB is not in it: `duckdb://<project>`, `<schema>.<table>`.
"""

from __future__ import annotations

from sqlalchemy.engine import make_url

from dataops.declared.errors import DeclarationError
from dataops.declared.namespaces import Namespaces, normal
from dataops.facts.lineage_graph import Kind

FREE = (Kind.REPORT, Kind.RECEIVER)
"""Kinds whose names are ours to give: they stand in the namespace of the jobs."""


class Naming:
    """Names of one installation. Raises DeclarationError where the warehouse's address makes no namespace."""

    def __init__(self, declared: Namespaces, warehouse_url: str, project: str) -> None:
        self.jobs = declared.jobs
        self._source = declared.source
        url = make_url(warehouse_url)
        self._database = "" if url.drivername == "duckdb" else f"{url.database}."
        address = f"duckdb://{project}" if url.drivername == "duckdb" else f"postgres://{url.host}:{url.port or 5432}"
        try:
            self._warehouse = declared.warehouse or normal(address)
        except ValueError as error:
            raise DeclarationError(
                f"{error}; say in lineage/namespaces.yml under which address others know it: warehouse: …"
            ) from None

    def of(self, node: str) -> tuple[str, str]:
        """Namespace and name of a node of the graph, or of a candidate, history or quarantine table."""
        kind, _, name = node.partition(" ")
        if kind in FREE:
            return self.jobs, f"{kind}.{name}"
        if kind != Kind.SOURCE:
            return self._warehouse, f"{self._database}{node}"
        if self._source is None:
            return self.jobs, f"{kind}.{name}"
        return self._source.namespace, f"{self._source.database}.{name}"
