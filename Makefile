# make demo      the shipments pipeline, live, in a minute
# make demo-sales  the same Polars code over everything and over what is new; ROWS=100000 is quick
# make test      everything a change has to pass: lint, types, tests
# make quick     the tests without the slow ones
# make lint      ruff and mypy alone
# make format    let ruff rewrite
# make examples  write what the examples of the docs print into the pages
# make plans     write what the compiler makes of the queries in tests/plans into the fixtures
# make bench     the benchmark; EVENTS=10000000 for the published size
# make crossover where incremental wins over full: table size x share of change x kind of query
# make nightly   20,000 random cases; SEED=N begins elsewhere
# make coverage  run the random cases and the case files, and write docs/coverage.md
# make clean     remove what these made
#
# Each target prepares .venv itself; PYTHON=/path/to/python3 names the interpreter.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?=
BIN := .venv/bin
EVENTS ?= 1000000
BATCHES ?= 1000,10000,100000
WORKERS ?= 2
ROWS ?= 1000000
SEED ?= 0
CASES ?= 20000
ARGS ?=

.PHONY: help env dev demo demo-sales test quick examples plans lint format bench crossover nightly coverage clean

help:
	@sed -n '/^# make/s/^# //p' Makefile

env:
	@PYTHON='$(PYTHON)' scripts/venv

dev:
	@PYTHON='$(PYTHON)' scripts/venv dev

demo: env
	@$(BIN)/python -m strandline demo $(ARGS)

demo-sales: env
	@$(BIN)/python -m strandline demo sales --dir demo-sales --rows $(ROWS) $(ARGS)

lint: dev
	@$(BIN)/python -m ruff check --quiet .
	@$(BIN)/python -m ruff format --quiet --check . || { echo 'Next: make format'; exit 1; }
	@$(BIN)/python -m mypy --no-error-summary

format: dev
	@$(BIN)/python -m ruff check --quiet --fix . || true
	@$(BIN)/python -m ruff format .

test: lint
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup --durations 10 --durations-min 2 $(ARGS)

quick: dev
	@$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadgroup -m 'not slow' $(ARGS)

examples: dev
	@REWRITE_EXAMPLES=1 $(BIN)/python -m pytest -q tests/docs $(ARGS)
	@git --no-pager diff --stat -- README.md docs

plans: dev
	@REWRITE_PLANS=1 $(BIN)/python -m pytest -q tests/plans $(ARGS)
	@git --no-pager diff --stat -- tests/plans

bench: env
	@mkdir -p bench-out
	@$(BIN)/python -m strandline bench shipments --events $(EVENTS) --batches $(BATCHES) $(ARGS)

crossover: env
	@mkdir -p bench-out
	@$(BIN)/python bench/crossover.py $(ARGS)

nightly: dev
	@echo 'seeds from $(SEED), $(CASES) cases; a failure prints its seed and a small program'
	@STRANDLINE_CASES=$(CASES) STRANDLINE_SEED=$(SEED) \
	  $(BIN)/python -m pytest -q -n $(WORKERS) tests/property/test_random.py $(ARGS)

coverage: CASES = 1500
coverage: dev
	@rm -rf build/coverage
	@STRANDLINE_COVERAGE=build/coverage STRANDLINE_CASES=$(CASES) STRANDLINE_SEED=$(SEED) \
	  $(BIN)/python -m pytest -q -n $(WORKERS) tests/property/test_random.py tests/slt $(ARGS)
	@PYTHONPATH=src:tests/property $(BIN)/python -m fuzz.report build/coverage docs/coverage.md

clean:
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist demo demo-sales bench-out
	@find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
