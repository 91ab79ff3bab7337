# Python that makes .venv; everything else runs in .venv.
PYTHON ?= python3
BIN := .venv/bin
BARE := PYTHONPATH=src $(PYTHON) -m dataops.lab.demo

.DEFAULT_GOAL := help
.PHONY: help demo demo-live demo-clean test all-tests test-fast soak lint up down docs bench bench-analysis lock venv

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo:  ## install, load, refuse a bad delivery, run the DAGs, tie the totals (about 4 minutes; resumes)
	@$(BARE).install

demo-live: venv  ## the same from a live PostgreSQL that people work in; both sides are equal in the end
	@$(BIN)/python -m dataops.lab.demo.live

demo-clean: down  ## remove everything the demo wrote, except .venv
	@$(BARE).clean

test: venv  ## lint, types, import contracts beside all tests
	@$(MAKE) --no-print-directory -j2 --output-sync=target lint all-tests

all-tests: venv
	$(BIN)/python -m pytest -n $(or $(WORKERS),3) --dist loadgroup

test-fast: venv  ## unit and small integration tests, for the working day (at most 3 minutes)
	$(BIN)/python -m pytest -n $(or $(WORKERS),3) --dist loadgroup -m "unit or quick"

soak: venv  ## random histories with kills, 20 minutes per engine, all detection; SEED, SECONDS, KILLS (of each engine, 300)
	DATAOPS_TEST_KILLS=$(or $(KILLS),300) DATAOPS_TEST_DETECTION=all $(BIN)/python -m pytest -n 2 --dist loadgroup \
	  tests/faults/test_f01_kill.py tests/faults/test_detection.py -k "random_kills or detection"
	DATAOPS_TEST_HISTORIES=20 $(BIN)/python -m pytest -n 2 tests/integration/test_invariants.py tests/faults/test_f13_order.py \
	  tests/integration/test_live_converges.py
	$(BIN)/python -m tests.support.soak --seconds $(or $(SECONDS),1200) $(if $(SEED),--seed $(SEED))

lint: venv  ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=src:benchmarks $(BIN)/mypy benchmarks/*.py
	$(BIN)/lint-imports --no-cache

up: venv  ## Airflow and the docs site on this machine only, left running
	@$(BIN)/python -m dataops.lab.demo.serve up

down:  ## stop what `make up` started
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m dataops.lab.demo.serve down; fi

docs: venv  ## bring data_docs/ up to date
	@$(BIN)/dataops docs

# Customer lifetime value and effects of campaigns against known answers; in benchmarks/README.md, not in `make help`.
bench-analysis: venv
	$(BIN)/python benchmarks/analysis.py

bench: venv  ## measure load, gate, publish and build
	$(BIN)/python benchmarks/run.py

# After a dependency has changed in pyproject.toml; not in `make help`.
lock: venv
	$(BIN)/python -m uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-strip-extras --no-emit-index-url --no-header --quiet --output-file requirements.txt
	$(BARE).lock requirements.txt

venv:
	@$(BARE).install --quiet
