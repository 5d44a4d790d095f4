# The two commands to start with: `make demo` and `make test`. Everything runs from .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEFAULT := $(subst -,_,$(shell sed -n 's/^  "ragwork-\([a-z0-9-]*\)>=.*/\1/p' pyproject.toml))
MEMBERS := hooks toolkit kernel cli $(addprefix plugins/,$(filter-out kernel cli,$(DEFAULT))) .
EXTRAS := tests/testkit $(filter-out $(addsuffix /,$(MEMBERS)),$(sort $(dir $(wildcard plugins/*/pyproject.toml))))
CONTRIB := $(sort $(dir $(wildcard contrib/*/pyproject.toml)))
MANIFESTS := pyproject.toml $(wildcard */pyproject.toml plugins/*/pyproject.toml contrib/*/pyproject.toml tests/testkit/pyproject.toml)
# Tests run in as many processes as there are cores; each has a Postgres of its own.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(os.cpu_count(), 8))')
PYTEST := $(BIN)/python -m pytest
PARALLEL = $(PYTEST) --numprocesses=$(WORKERS) --dist=worksteal
PIP := $(BIN)/uv pip install --quiet --python $(BIN)/python
# Certificates of this machine's store, as pip and git use them: a proxy's own authority is only there.
export UV_SYSTEM_CERTS ?= 1

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --custom-compile-command 'make lock' $(UPGRADE) \
  $(foreach m,$(MANIFESTS),--no-emit-package $(shell sed -n 's/^name = "\(.*\)"/\1/p' $(m) | head -1))

.PHONY: install develop demo serve test prove format bench perf-test perf-report docs lock wheels clean
.PHONY: lint style types imports arch unit contract integration contrib test-docs test-programs

# What it takes to run: the default assembly.
install: $(VENV)/.installed

$(VENV)/.installed: requirements-bootstrap.txt requirements.txt $(MANIFESTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bootstrap.txt
	$(PIP) --require-hashes -r requirements.txt
	$(PIP) --no-deps --no-build-isolation $(foreach m,$(MEMBERS),-e ./$(m))
	@touch $@

# What it takes to test: every plugin, the testkit and the tools. Third-party code comes as wheels, as users get it.
develop: $(VENV)/.developed

$(VENV)/.developed: $(VENV)/.installed requirements-dev.txt
	$(PIP) --require-hashes -r requirements-dev.txt
	$(PIP) --no-deps --no-build-isolation $(foreach m,$(EXTRAS),-e ./$(m))
	$(if $(CONTRIB),$(PIP) --no-deps --no-build-isolation --reinstall $(addprefix ./,$(CONTRIB)))
	@touch $@

demo: install
	$(BIN)/python -m ragwork.demo run

serve: install
	$(BIN)/python -m ragwork.demo serve

test: develop
	$(PARALLEL)

prove: develop
	RAGWORK_PROVE=1 $(PARALLEL)

# `make test` by parts: what a change calls for, without waiting for the rest. A test holds that nothing falls between them.
CONTRACTS = $(shell find tests/testkit plugins -path '*/tests/test_*contract*.py')
unit: develop
	$(PARALLEL) hooks toolkit kernel cli

contract: develop
	$(PARALLEL) tests/testkit $(CONTRACTS)

integration: develop
	$(PARALLEL) plugins tests/acceptance $(addprefix --ignore=,$(CONTRACTS))

contrib: develop
	$(PARALLEL) contrib

test-docs: develop
	$(PARALLEL) tests/docs

# Tests that need programs which .venv does not hold; .ci/install-programs brings them on Debian.
test-programs: develop
	RAGWORK_REQUIRE_PROGRAMS=1 $(PARALLEL) -m program

lint: style types imports

style: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: develop
	$(BIN)/mypy

imports: develop
	$(BIN)/lint-imports

arch: imports
	$(PYTEST) tests/architecture

format: develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: develop
	$(BIN)/python tests/perf/bench.py

# Scenarios under load with gates, and their summary: tests/perf/reports.
perf-test: develop
	$(BIN)/python tests/perf/perf_gates.py

perf-report: develop
	$(BIN)/python tests/perf/perf_gates.py --report

# The generated reference pages; a test holds them to the code.
docs: develop
	$(BIN)/python tools/make_reference.py

# The files pin every third-party package by hash. What is pinned stays as it is; `make lock UPGRADE=--upgrade` takes the newest.
lock: install
	@$(COMPILE) --group bootstrap --output-file requirements-bootstrap.txt
	@$(COMPILE) --group build --output-file requirements.txt pyproject.toml
	@$(COMPILE) --all-extras --group bootstrap --group build --group dev --constraints requirements.txt \
	  --output-file requirements-dev.txt $(filter-out %/template/pyproject.toml,$(MANIFESTS))

# Every distribution, and a page of links to them: `pip install --find-links dist …`.
wheels: install
	rm -rf dist
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/uv build --quiet --all-packages --wheel --no-build-isolation --out-dir dist
	$(BIN)/python tools/make_index.py dist

clean:
	rm -rf $(VENV) var
