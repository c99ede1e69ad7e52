# `make` lists what there is. Everything works from a clean clone, without a terminal; what needs root says so.

BIN := .venv/bin
SOURCES := network backend codetainer_tui tests .ci/commits

# In a clone of somebody else's nothing can be cached: ruff panics there, and the others complain.
ifneq ($(shell test -w . && echo yes),yes)
export RUFF_NO_CACHE := true
export MYPY_CACHE_DIR := /dev/null
NO_CACHE := --no-cache
endif

# Of `make test` and `make cover`: a path, a node id, or an expression for pytest's -k.
T ?=
export T

.PHONY: help setup demo test cover lint unit format bench engines pictures docs clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup: ## install what is missing: Debian packages (root), .venv, CoreDNS, confine
	@.ci/setup

demo: setup ## boot a sandbox on this machine, with an internet of its own (root)
	@$(BIN)/codetainer up --net pretend

test: ## everything: lint, unit tests, tests in real namespaces (root); T=NAME: only the tests that match, without lint
	@.ci/test "$$T"

cover: ## coverage of the unit tests by folder; T=NAME: of the tests that match
	@.ci/setup venv
	@$(BIN)/python -m tests.cover "$$T"

lint: ## formatter, linter, strict types, import arrows, workflows, subjects of new commits
	@.ci/setup venv
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports $(NO_CACHE)
	@$(BIN)/python .ci/commits
	@$(BIN)/zizmor --offline --quiet --persona pedantic .github/workflows

unit: ## unit tests only: no root, no process, seconds
	@.ci/setup venv
	@$(BIN)/pytest tests/unit

format: ## let the formatter and the linter put right what they can
	@.ci/setup venv
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

bench: setup ## measure; prints a table and writes build/bench.json (root)
	@.ci/setup image
	@$(BIN)/python -m tests.bench

engines: setup ## real container engines (Docker) with what docs/deploy ships: minutes, not in CI (root)
	@.ci/setup image
	@$(BIN)/pytest tests/engines

pictures: ## draw the pictures of the documentation anew
	@.ci/setup venv
	@$(BIN)/codetainer dashboard --replay tests/journals/recorded/attacked.jsonl --speed 0 --picture docs/dashboard.svg

docs: ## write the parts of the documentation anew that are derived from the code
	@.ci/setup venv
	@$(BIN)/python -m tests.documentation

clean: ## remove what was built: build/ and .venv
	@rm -rf build .venv
