# `make` lists the targets. All of them work from a clean clone, without a terminal; those that need root say so.

BIN := .venv/bin
SOURCES := network backend codetainer_tui tests .ci/commits

# In another user's clone the caches cannot be written: ruff panics, the other tools complain.
ifneq ($(shell test -w . && echo yes),yes)
export RUFF_NO_CACHE := true
export MYPY_CACHE_DIR := /dev/null
NO_CACHE := --no-cache
endif

# For `make test` and `make cover`: a path, a node id, or an expression for pytest's -k.
T ?=
export T
# For `make bench`: another checkout of this project, to measure in the same run.
BESIDE ?=
export BESIDE

# For `make haproxy`: the tests that depend on HAProxy's behaviour.
GATE_TESTS := $(foreach name,cases clients credentials gate gate_resolver github_files grants graphql lfs name_forms predictions read_grants request_predictions scope shipped_grants upstream,tests/netns/test_$(name).py)

.PHONY: root help setup demo test cover lint unit format bench engines haproxy soak kills pictures docs clients clean
.DEFAULT_GOAL := help

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

root: # before minutes of setup
	@[ "$$(id -u)" = 0 ] || { echo "make: this target needs root, because a sandbox is made of namespaces, mounts and a firewall; run it with sudo" >&2; exit 1; }

setup: ## install missing parts: Debian packages (root), .venv, CoreDNS, confine, reader, userns
	@.ci/setup

demo: setup ## boot a sandbox on this machine, with a pretend internet
	@$(BIN)/codetainer up --net pretend

test: ## run lint, unit tests and tests in real namespaces (root); T=NAME: only matching tests, without lint
	@.ci/test "$$T"

cover: ## print coverage of the unit tests by folder; T=NAME: of matching tests
	@.ci/setup venv
	@$(BIN)/python -m tests.cover "$$T"

lint: ## check format, style, types, import layers, workflows and the subjects of new commits
	@.ci/setup venv
	@$(BIN)/ruff format --check $(SOURCES)
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports $(NO_CACHE)
	@$(BIN)/python .ci/commits
	@$(BIN)/zizmor --offline --quiet --persona pedantic .github/workflows

unit: ## run the unit tests only: no root, no processes, seconds
	@.ci/setup venv
	@$(BIN)/pytest tests/unit

format: ## apply the fixes of the formatter and the linter
	@.ci/setup venv
	@$(BIN)/ruff format $(SOURCES)
	@$(BIN)/ruff check --fix $(SOURCES)

bench: root setup ## run the benchmarks: print a table, write build/bench.json (root); BESIDE=FOLDER: next to another checkout
	@.ci/setup image programs
	@$(BIN)/python -m tests.bench $${BESIDE:+--beside "$$BESIDE"}

kills: root setup ## kill suspends, saves and resumes 200 times at random moments: half an hour, not in CI (root)
	@$(BIN)/python -m tests.soak.suspend

engines: root setup ## test docs/deploy on real container engines (Docker): minutes, not in CI (root)
	@.ci/setup image
	@$(BIN)/pytest tests/engines

haproxy: root setup ## run the tests of the gate with the HAProxy of Debian 13 and of Debian testing: minutes, not in CI (root)
	@.ci/setup programs
	@for suite in trixie testing; do .ci/haproxy $$suite $(BIN)/pytest -m "not image" $(GATE_TESTS) || exit; done

soak: root setup ## run one sandbox for an hour with a fault every minute, not in CI (root); MINUTES=480 PACE=8: eight hours in one
	@$(BIN)/python -m tests.soak --minutes "$${MINUTES:-60}" --pace "$${PACE:-1}"

pictures: ## redraw the documentation's pictures
	@.ci/setup venv
	@$(BIN)/codetainer dashboard --replay tests/journals/recorded/attacked.jsonl --speed 0 --picture docs/dashboard.svg

docs: ## update the parts of the documentation that are derived from the code
	@.ci/setup venv
	@$(BIN)/python -m tests.documentation

clients: root setup ## measure the table in docs/clients.md: every client behind the gate (root)
	@.ci/setup programs
	@$(BIN)/python -m tests.netns.clients

clean: ## remove build/ and .venv
	@rm -rf build .venv
