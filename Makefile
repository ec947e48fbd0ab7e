# Pedido. `make` or `make help` lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ORDERS ?= 500
RATE ?= 0
EXAMPLES ?= 20000
FUZZ_RECORDS ?= 100000
FUZZ_REQUESTS ?= 20000
MONEY_ORDERS ?= 10000
CHAOS_MINUTES ?= 50
SEED ?=
ARGS ?=

# A python3 that was built without --enable-optimizations, as pyenv does unless told to, takes up to
# a third more CPU time: then the distribution's own, if it has one.
CHOICE := import glob, sysconfig; optimised = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS")); \
    print(*([] if optimised else sorted(glob.glob("/usr/bin/python3.1[1-9]"))), "python3")
PYTHON ?= $(firstword $(shell python3 -c '$(CHOICE)'))
UV := .local/uv/bin/uv
UV_VERSION := 0.13.9
PY := .venv/bin/python
MEMBERS := $(patsubst %/pyproject.toml,%,$(wildcard libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml benchmarks/pyproject.toml))
SOURCES := $(addsuffix /src,$(MEMBERS))
QUICK_TESTS := $(PY) -m pytest -q -m "not (postgres or kafka or redis or saga or slow)"

# Compiling all sources anew at each start would take a second and more, many times over.
unexport PYTHONDONTWRITEBYTECODE

help: ## list these commands
	@grep -hE '^[a-z][a-z%-]*:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: .venv/installed ## replay real orders through the whole suite (ORDERS=500, RATE=0 for as fast as it goes)
	@$(PY) -m demo --orders $(ORDERS) --rate $(RATE)

test: .venv/installed ## run every test against real Kafka, Postgres and Valkey, with coverage
	@$(PY) -m pytest --cov --cov-report=term:skip-covered $(ARGS)

check: .venv/installed ## lint, types, import contracts, and the quick tests that need no server
	@$(MAKE) --no-print-directory --jobs --keep-going --output-sync $(addprefix check-,others services types contracts lint)

check-lint:
	@.venv/bin/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	@.venv/bin/ruff check --quiet .

check-types:
	@.venv/bin/mypy $(SOURCES)

check-contracts:
	@.venv/bin/lint-imports

check-services check-others: export MODEL_EXAMPLES := 50
check-services:
	@$(QUICK_TESTS) services
check-others:
	@$(QUICK_TESTS) libs tools tests

model: .venv/installed ## drive the real decisions through 20,000 random histories (EXAMPLES=20000)
	@MODEL_EXAMPLES=$(EXAMPLES) $(PY) -m pytest -q -s --timeout=0 tests/model

chaos: .venv/installed ## break everything under load for about an hour (CHAOS_MINUTES=50, SEED=, ARGS="--only F7")
	@$(PY) -m chaos --minutes $(CHAOS_MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos-quick: .venv/installed ## the most telling faults in a few minutes (SEED=)
	@$(PY) -m chaos --quick $(if $(SEED),--seed $(SEED)) $(ARGS)

fuzz: .venv/installed ## send 100,000 bad records to the running services (FUZZ_RECORDS=100000, FUZZ_SEED=1)
	@FUZZ_RECORDS=$(FUZZ_RECORDS) $(PY) -m pytest -q -s tests/saga/test_fuzz.py

money: .venv/installed ## 10,000 orders at a provider that fails a third of all calls, its ledger as judge (MONEY_ORDERS=, MONEY_SEED=)
	@MONEY_ORDERS=$(MONEY_ORDERS) $(PY) -m pytest -q -s tests/saga/test_money.py

fuzz-api: .venv/installed ## send 20,000 generated requests to all four APIs (FUZZ_REQUESTS=20000, FUZZ_SEED=1)
	@FUZZ_EXAMPLES=10 FUZZ_REQUESTS=$(FUZZ_REQUESTS) $(PY) -m pytest -q -s tests/api/test_fuzz_api.py

format: .venv/installed ## format the code and mend what can be mended
	@.venv/bin/ruff check --quiet --fix . ; .venv/bin/ruff format --quiet .

dev: .venv/installed ## start the stack and all services, and leave them running
	@$(PY) -m devstack dev

down: .venv/installed ## stop what `make dev` started
	@$(PY) -m devstack down

bench: .venv/installed ## measure throughput, latency, CPU and memory per order
	@$(PY) -m benchmarks $(ARGS)

bench-p%: .venv/installed ## measure one row: bench-p1 … bench-p18 (ARGS=--resume makes the runs that are missing)
	@$(PY) -m benchmarks P$* $(ARGS)

bench-login: bench-p16 ## measure what 20 parallel logins cost those who order
bench-listeners: bench-p17 ## measure 1,000 live streams on one process
bench-overload: bench-p11 ## offer twice what can be completed: what is taken must be completed

bench-ceilings: .venv/installed ## measure what this machine can do at most: pgbench, fdatasync, Kafka, ASGI
	@$(PY) -m benchmarks ceilings $(ARGS)

bench-report: .venv/installed ## write the report of every figure that is kept in .local/bench
	@$(PY) -m benchmarks --report

compare: .venv/installed ## measure Pedido and its peers in turn, with the same orders (ARGS="--only dbos,celery --orders 300")
	@$(PY) -m benchmarks.compare $(ARGS)

bench-p7: compare ; @:

invariants: .venv/installed ## check the running stack's invariants
	@set -a; . .local/stack.env; set +a; $(PY) -m invariants

asyncapi: .venv/installed ## write the AsyncAPI document anew from schemas/
	@$(PY) schemas/asyncapi.py

openapi: .venv/installed ## write the services' OpenAPI documents anew from their routes
	@$(PY) docs/api/write.py

images-check: ## build the four images without a container engine, and start each (root, Debian)
	@python3 deploy/images_check.py

up: ## run the suite in containers
	docker compose up --build --wait

lock: $(UV) ## pin every dependency anew
	$(UV) lock --quiet
	$(UV) export --quiet --frozen --all-groups --no-emit-workspace --no-header --output-file requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --output-file benchmarks/peers/requirements.lock benchmarks/peers/requirements.in

$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Pedido needs Python 3.11 or newer as python3, or PYTHON=/path/to/it"; exit 1; }
	@python3 -m venv .local/uv
	@.local/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/installed: requirements.lock $(addsuffix /pyproject.toml,$(MEMBERS)) | $(UV)
	@echo "installing the locked dependencies into .venv"
	@$(UV) venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" .venv
	@$(UV) pip sync --quiet --python $(PY) --require-hashes requirements.lock
	@$(UV) pip install --quiet --python $(PY) --no-deps $(foreach member,$(MEMBERS),--editable $(member))
	@touch $@

.PHONY: help demo test check check-lint check-types check-contracts check-services check-others model chaos chaos-quick fuzz fuzz-api money format dev down bench bench-login bench-listeners bench-overload bench-ceilings bench-report compare invariants asyncapi openapi images-check up lock
