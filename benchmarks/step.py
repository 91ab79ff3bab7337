"""One measured step in a process of its own: prints one line of JSON. Started by run.py, not by hand."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import sqlglot

from by_hand_delta import apply_by_hand, stage
from dataops.gate import candidates, gate
from dataops.gate.verdict import Verdict
from dataops.ledger import batches as batch_records
from dataops.ledger import numbering
from dataops.ledger import tables as ledger
from dataops.ledger.enums import VerdictName
from dataops.ledger.workspace import Workspace, open_workspace
from dataops.pipeline import jobs, publish, transforms
from dataops.sources import Window
from dataops.warehouse import tables
from measure import Probe, peak_mib

HERE = Path(__file__).parent
EVERYTHING = Window(datetime(2000, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001  windows are UTC without a zone


def main() -> None:
    """Runs the step that the first argument names, on the batch and as often as the others say."""
    name, batch_id, repeat = sys.argv[1], sys.argv[2], int(sys.argv[3])
    probe, work = Probe(), open_workspace()
    facts = STEPS[name](work, probe, batch_id, repeat)
    told = {"seconds": probe.seconds, "cpu": probe.cpu, "statements": probe.statements, "peak_mib": peak_mib()}
    print(json.dumps(told | facts))


def _extracted(work: Workspace, group: str, window: Window | None = None) -> str:
    with jobs.source_of(work) as source:
        return jobs.extract(work, group, window, source)


def others(work: Workspace, probe: Probe, _batch: str, _repeat: int) -> dict[str, Any]:
    """What sales rows and curated models refer to; not judged, since only the sales group is measured."""
    rows = 0
    with probe.step("reference, inventory: set up"):
        for name in ("reference", "inventory"):
            batch_id = _extracted(work, name)
            with work.warehouse.transaction() as connection:
                seq = batch_records.required(connection, batch_id).seq
                rules = work.catalog.group(name).rules_hash
                batch_records.record_verdict(connection, seq, VerdictName.PASSED, (), rules, ())
            publish.publish(work, batch_id)
            rows += _rows(work, batch_id)
    return {"rows": rows}


def load(work: Workspace, probe: Probe, _batch: str, _repeat: int) -> dict[str, Any]:
    """The whole history, landed."""
    with probe.step("load"):
        batch_id = _extracted(work, "sales")
    return {"batch": batch_id, "rows": _rows(work, batch_id)}


def load_delta(work: Workspace, probe: Probe, _batch: str, _repeat: int) -> dict[str, Any]:
    """The delta, landed; its window covers all, so that it speaks for its own rows only."""
    with probe.step("delta: load"):
        batch_id = _extracted(work, "sales", EVERYTHING)
    return {"batch": batch_id, "rows": _rows(work, batch_id)}


def judge(work: Workspace, probe: Probe, batch_id: str, repeat: int) -> dict[str, Any]:
    """The gate and the same predicates by hand, in turn, on the same batch in one process."""
    start = _import_engines(probe)
    counted: dict[str, int] = {}
    verdict = None
    for _ in range(repeat):
        for engine in ("soda", "gx"):
            with probe.step(f"gate: {engine}"):
                gate.audit(work, batch_id, engine)
        with probe.step("gate: judge"):
            verdict = gate.judge(work, batch_id)
        with probe.step("gate by hand"):
            counted = _by_hand(work)
    return {"process_start": start, "verdict": _verdict(verdict), "disagree": _disagreements(verdict, counted)}


def judge_bad(work: Workspace, probe: Probe, batch_id: str, repeat: int) -> dict[str, Any]:
    """The gate on the batch as it is, and with every 200th line spoilt (0.5 %), in turn; leaves it judged clean."""
    _import_engines(probe)
    verdict = None
    for name in ["gate: 0.5 % bad rows", "gate: clean"] * repeat:
        _negate(work, batch_id)
        with probe.step(name):
            verdict = gate.run(work, batch_id)
        bad = sum(h.broke for h in verdict.held)
        if (bad > 0) != ("bad" in name):
            raise SystemExit(f"{name}: {bad} rows broke a rule")
    return {"verdict": _verdict(verdict)}


def _negate(work: Workspace, batch_id: str) -> None:
    """Spoils every 200th line of the batch, or repairs it when it is spoilt."""
    with work.warehouse.transaction() as connection:
        seq = int(batch_records.required(connection, batch_id).seq)
        connection.exec_driver_sql(
            f"UPDATE raw.sales_order_detail SET order_qty = -order_qty WHERE _batch = {seq} AND _row % 200 = 0"
        )


def _import_engines(probe: Probe) -> float:
    """Seconds from the start of the process until both engines can be used."""
    import great_expectations  # noqa: F401, TID251
    from soda_core.contracts.contract_verification import ContractVerificationSession  # noqa: F401, TID251
    from soda_duckdb.common.data_sources.duckdb_data_source import DuckDBDataSourceImpl  # noqa: F401

    probe.count_soda()
    return time.time() - psutil.Process().create_time()


def _by_hand(work: Workspace) -> dict[str, int]:
    counted: dict[str, int] = {}
    with work.warehouse.reading() as connection:
        for file in sorted((HERE / "by_hand").glob("*.sql")):
            sql = sqlglot.transpile(file.read_text(encoding="utf-8"), read="postgres", write=work.warehouse.dialect)[0]
            row = connection.exec_driver_sql(sql.replace("%", "%%") if work.warehouse.dialect != "duckdb" else sql)
            counted |= {name: int(value) for name, value in row.mappings().one().items()}
    return counted


def _disagreements(verdict: Verdict | None, counted: dict[str, int]) -> list[str]:
    """Rules that the two count differently, and rules that nobody wrote by hand: a ratio of unequal work is none."""
    results = verdict.results if verdict else ()
    expected = {r.rule.id: r.failing for r in results if r.rule.type not in {"schema", "row_count", "deletions"}}
    return sorted(rule for rule, failing in expected.items() if (failing or 0) != counted.get(rule))


def publish_batch(work: Workspace, probe: Probe, batch_id: str, _repeat: int) -> dict[str, Any]:
    """The first publication: every row is new."""
    return _publish(work, probe, batch_id, "publish")


def publish_delta(work: Workspace, probe: Probe, batch_id: str, _repeat: int) -> dict[str, Any]:
    """The delta's publication."""
    return _publish(work, probe, batch_id, "delta: publish")


def _publish(work: Workspace, probe: Probe, batch_id: str, name: str) -> dict[str, Any]:
    """The transaction, and apart from it the copy for readers, which is renewed after it."""
    with probe.step(name):
        done = publish.publish(work, batch_id)
    with probe.step(f"{name}, readers' copy"):
        work.warehouse.refresh_published(numbering.described)
    return {"rows": sum(c.new + c.changed for c in done.counts), "status": done.status}


def age(work: Workspace, probe: Probe, _batch: str, _repeat: int) -> dict[str, Any]:
    """As after years: every published row of sales has 100 earlier versions, and a million rule results are kept."""
    with probe.step("age: set up"), work.warehouse.transaction() as connection:
        for dataset in work.catalog.group("sales").datasets:
            columns = tables.quoted(dataset.column_names)
            connection.exec_driver_sql(
                f"INSERT INTO validated_history.{dataset.table} ({columns}, _publication, _superseded, _operation)"
                f" SELECT {columns}, _publication, _publication, 'changed' FROM validated.{dataset.table}"
                " CROSS JOIN generate_series(1, 100) AS n(i)"
            )
        results = ", ".join(c.name for c in ledger.check_results.columns if c.name != "batch")
        there = connection.exec_driver_sql("SELECT COUNT(*) FROM ops.check_results").scalar_one()
        connection.exec_driver_sql(
            f"INSERT INTO ops.check_results (batch, {results}) SELECT -n.i, {results} FROM ops.check_results"
            f" CROSS JOIN generate_series(1, {1_000_000 // there}) AS n(i)"
        )
    return {}


def publish_aged(work: Workspace, probe: Probe, batch_id: str, _repeat: int) -> dict[str, Any]:
    """The delta's publication, with that history."""
    return _publish(work, probe, batch_id, "delta: publish, 100 x history")


def by_hand_delta(work: Workspace, probe: Probe, batch_id: str, _repeat: int) -> dict[str, Any]:
    """The same difference, history and insert in one transaction, as one writes it for these tables."""
    group = work.catalog.group("sales")
    with work.warehouse.transaction() as connection:
        batch = batch_records.required(connection, batch_id)
        candidates.point_at(connection, group, batch)
        stage(connection, group)
    with probe.step("delta by hand"), work.warehouse.transaction() as connection:
        rows = apply_by_hand(connection, group, numbering.next_seq(connection, ledger.publications))
    return {"rows": rows}


def judge_delta(work: Workspace, probe: Probe, batch_id: str, repeat: int) -> dict[str, Any]:
    """The gate on the delta."""
    start = _import_engines(probe)
    verdict = None
    for _ in range(repeat):
        with probe.step("delta: gate"):
            verdict = gate.run(work, batch_id)
    return {"process_start": start, "verdict": _verdict(verdict)}


def build(work: Workspace, probe: Probe, _batch: str, _repeat: int) -> dict[str, Any]:
    """Every curated model, whole."""
    return _build(work, probe, "build")


def build_delta(work: Workspace, probe: Probe, _batch: str, _repeat: int) -> dict[str, Any]:
    """What the delta makes necessary."""
    return _build(work, probe, "delta: build")


def _build(work: Workspace, probe: Probe, name: str) -> dict[str, Any]:
    """Curated facts and dimensions: build, gate, publish."""
    _import_engines(probe)
    with probe.step(name):
        built = transforms.build(work, work.catalog.group("curated"))
    with probe.step(f"{name}, gate"):
        verdict = gate.run(work, built.batch_id)
    with probe.step(f"{name}, publish"):
        publish.publish(work, built.batch_id)
    return {"rows": _rows(work, built.batch_id), "verdict": _verdict(verdict)}


def _rows(work: Workspace, batch_id: str) -> int:
    with work.warehouse.reading() as connection:
        seq = batch_records.required(connection, batch_id).seq
        query = f"SELECT SUM(received) FROM ops.batch_datasets WHERE batch = {int(seq)}"
        return int(connection.exec_driver_sql(query).scalar_one())


def _verdict(verdict: Verdict | None) -> str:
    return "none" if verdict is None else f"{verdict.name} {'; '.join(verdict.reasons)[:200]}".strip()


STEPS: dict[str, Callable[[Workspace, Probe, str, int], dict[str, Any]]] = {
    "others": others,
    "load": load,
    "judge": judge,
    "judge_bad": judge_bad,
    "publish": publish_batch,
    "build": build,
    "load_delta": load_delta,
    "judge_delta": judge_delta,
    "publish_delta": publish_delta,
    "age": age,
    "publish_aged": publish_aged,
    "by_hand_delta": by_hand_delta,
    "build_delta": build_delta,
}

if __name__ == "__main__":
    main()
