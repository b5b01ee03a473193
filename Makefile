# Both `make demo` and `make test` set everything up by themselves, from nothing.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all bench bench-long check setup docs chromium postgresql schema

demo: setup
	$(BIN)/nas search examples/quickstart.yaml

# Two at a time: one test is one core's work; all of a file by one process, as its tests share what is slow to make.
test: check chromium postgresql
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-all: check chromium postgresql
	$(BIN)/python -m pytest -n 2 --dist loadfile -m ""

# Ratios in one run; nothing else should run meanwhile.
bench: setup
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.costs
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.solve
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.scaling
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.isometric
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.thresholds
	$(BIN)/python -m benchmarks.prune 0.5
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.store
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.report
	$(BIN)/python -m benchmarks.engine
	$(BIN)/python -m benchmarks.kernels

# An hour: what is found, not how fast alone.
bench-long: setup
	$(BIN)/python -m benchmarks.headline
	$(BIN)/python -m benchmarks.accuracy
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.racing
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.racing benchmarks/curves-mnist5k.npz 10

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The documents as a site in site/: open site/index.html. A broken link or anchor ends it.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

setup: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

# For the test that opens optuna-dashboard in a browser; without it that test is skipped and says so.
chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  { apt-get update && apt-get install --yes chromium; } >/dev/null 2>&1 || \
	  echo "chromium could not be installed: the browser test will be skipped"

# For the tests on a real server, which they start and end themselves; without it these are skipped and say so.
postgresql:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	  { apt-get update && apt-get install --yes postgresql-common && \
	    echo "create_main_cluster = false" >> /etc/postgresql-common/createcluster.conf && \
	    apt-get install --yes postgresql; } >/dev/null 2>&1 || \
	  echo "postgresql could not be installed: the tests on it will be skipped"

schema: setup
	$(BIN)/nas schema --export > nas/network.schema.json
	$(BIN)/nas schema > nas/spec.schema.json
