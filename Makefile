# The two commands of a newcomer are `make demo` and `make test`; CI runs `make check` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check bench lock clean

.venv/ready: pyproject.toml images/runtime/pyproject.toml images/etl/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "batchctl needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e . -e images/runtime -e images/etl
	touch $@

.venv/ready-dev: .venv/ready Makefile
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]' -e 'images/runtime[azure]' -e 'images/etl[azure,delta,odbc,postgres]'
	touch $@

.services/ready: tests/services/package.json .venv/ready-dev
	mkdir -p .services
	cp tests/services/package.json .services/
	$(PYTHON) -m venv .services/azure-batch-14
	.services/azure-batch-14/bin/pip install --quiet --disable-pip-version-check azure-batch==14.2.0
	PATH="$(CURDIR)/$(BIN):$$PATH" npm install --prefix .services --silent --no-audit --no-fund --no-package-lock
	touch $@

.services/installed: tests/services/install-docker.sh tests/services/install-postgres.sh tests/services/install-odbc.sh
	mkdir -p .services
	tests/services/install-postgres.sh
	tests/services/install-odbc.sh
	tests/services/install-docker.sh
	touch $@

demo: .venv/ready
	$(BIN)/batchctl run jobspecs/weather.yaml
	@echo
	@echo "loaded into .batchctl/lake/curated/weather.duckdb, table averages; the last ten-week averages:"
	@$(BIN)/etl show .batchctl/lake/curated/weather.duckdb \
	  "SELECT station, measure, period, starts, average, days FROM averages WHERE period = '10 weeks' QUALIFY row_number() OVER (PARTITION BY measure ORDER BY starts DESC) <= 3 ORDER BY measure, starts"
	@echo
	@echo "data  .batchctl/lake/{raw,staging,curated}/"
	@echo "logs  .batchctl/lake/runs/   or: $(BIN)/batchctl logs weather"

# One more than there are cores: many tests wait for a program of theirs.
WORKERS = $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')
test: .services/ready .services/installed
	$(BIN)/pytest -n $(WORKERS) --dist loadfile

check: .venv/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy images/runtime/batchctl_runtime images/etl/batchctl_etl
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest tests/architecture

# The locked requirements of the images, after a change of their dependencies.
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --only-binary :all:
lock: .venv/ready-dev
	$(LOCK) images/etl/pyproject.toml images/runtime/pyproject.toml --extra azure --extra postgres -o images/etl/requirements.txt
	$(LOCK) images/etl/pyproject.toml --extra delta -c images/etl/requirements.txt -o images/etl/requirements-delta.txt
	$(LOCK) pyproject.toml images/runtime/pyproject.toml --extra azure -o images/conductor/requirements.txt
	echo hatchling | $(LOCK) - -o images/runtime/build-requirements.txt
	sed -i '1i # Every package, exact and with its hashes. Made by `make lock`; do not edit.' images/*/*requirements*.txt

bench: .venv/ready-dev
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf .venv .services
