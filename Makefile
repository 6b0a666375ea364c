# Needs Python 3.11 or 3.12, pip and make; `make setup` fetches all else into .venv and .tidemark.
.DEFAULT_GOAL := help
.SUFFIXES:
.PHONY: help setup demo test test-fast agreement month million large bench bench-quick docs lint clean

READY := .venv/.ready
BIN := .venv/bin
# Two workers: one runs the tests that share a runtime, the other the rest: see tests/conftest.py.
PYTEST := $(BIN)/python -m pytest -n 2 --no-loadscope-reorder

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile | expand -t 14

setup: $(READY) ## Install everything, once

$(READY): pyproject.toml uv.lock infra/bootstrap/setup.sh infra/bootstrap/requirements.txt infra/maven/kafka/jgo.lock.toml infra/maven/flink/jgo.lock.toml
	@PYTHON='$(PYTHON)' sh infra/bootstrap/setup.sh
	@touch $@

demo: $(READY) ## The whole river on real flights, from Kafka to predictions, with a report
	@$(BIN)/tidemark demo

test: $(READY) ## All tests, on the real services
	@$(PYTEST)

test-fast: $(READY) ## What a minute allows: the tests that start no JVM, less those that take a second or more each
	@$(PYTEST) -m "not e2e and not slow"

agreement: $(READY) ## Measure how well all engines agree, and write the table of it in docs/concepts.md
	@$(BIN)/python -m pytest -n 0 tests/e2e/test_agreement.py --publish

month: $(READY) ## A whole month, out of order, with a killed TaskManager, proven value by value
	@$(BIN)/python -m pytest -n 0 -s -m month tests/faults/test_month.py

million: $(READY) ## A million requests answered exactly once, with a TaskManager that is killed twice
	@$(BIN)/python -m pytest -n 0 -s -m million tests/faults/test_million_requests.py

large: $(READY) ## Models of 5,000 trees and 64 shards, views of 300 features, ten years of events beside other jobs, services that hang
	@$(BIN)/python -m pytest -n 0 -s -m large tests/e2e/test_large_models.py tests/e2e/test_wide_views.py tests/faults/test_ten_years.py tests/infra/test_hanging.py

bench: $(READY) ## Speed beside the limit and the peers: over two and a half hours; writes the tables of docs/benchmarks.md, and a page with plots
	@$(BIN)/python -m benchmarks $(BENCH)

bench-quick: $(READY) ## The same on small inputs and in one round, minutes
	@$(BIN)/python -m benchmarks --quick $(BENCH)

docs: $(READY) ## The pages of docs/ as a site in dist/site; a link that leads nowhere fails
	@$(BIN)/python -m tests.docs.reference >/dev/null
	@$(BIN)/zensical build --strict

lint: $(READY) ## Style, types and layers
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

clean: ## Remove what was installed and cached; data under .tidemark stays
	rm -rf .venv .tidemark/tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
