# The two commands to start with: `make demo` and `make test`. Everything runs from .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEFAULT := $(shell sed -n 's/^  "ragwork-\([a-z0-9]*\)>=.*/\1/p' pyproject.toml)
MEMBERS := hooks kernel $(addprefix plugins/,$(filter-out kernel,$(DEFAULT))) .
EXTRAS := tests/testkit $(filter-out $(addsuffix /,$(MEMBERS)),$(sort $(dir $(wildcard plugins/*/pyproject.toml))))
CONTRIB := $(sort $(dir $(wildcard contrib/*/pyproject.toml)))
MANIFESTS := pyproject.toml $(wildcard */pyproject.toml plugins/*/pyproject.toml contrib/*/pyproject.toml tests/testkit/pyproject.toml)
PIP := $(BIN)/uv pip install --quiet --python $(BIN)/python

.PHONY: install develop demo serve test prove lint format bench docs lock clean

# What it takes to run: the default assembly.
install: $(VENV)/.installed

$(VENV)/.installed: requirements.txt $(MANIFESTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
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
	$(BIN)/python -m pytest

prove: develop
	RAGWORK_PROVE=1 $(BIN)/python -m pytest

lint: develop
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: develop
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: develop
	$(BIN)/python tests/perf/bench.py

# The generated reference pages; a test holds them to the code.
docs: develop
	$(BIN)/python tools/make_reference.py

# Both files pin every third-party package by hash. uv.lock itself stays out of the repository.
lock:
	$(BIN)/uv lock --quiet
	$(BIN)/uv export --quiet --package ragwork --group build --no-dev --no-emit-workspace --output-file requirements.txt
	$(BIN)/uv export --quiet --all-packages --all-groups --no-emit-workspace --output-file requirements-dev.txt

clean:
	rm -rf $(VENV) var
