# The two commands to start with: `make demo` and `make test`. Everything runs from .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEMBERS := hooks kernel $(sort $(dir $(wildcard plugins/*/pyproject.toml))) tests/testkit .
STAMP := $(VENV)/.installed

.PHONY: install demo serve test prove lint format bench lock clean

install: $(STAMP)

$(STAMP): requirements.txt pyproject.toml $(wildcard */pyproject.toml plugins/*/pyproject.toml tests/testkit/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(foreach m,$(MEMBERS),-e ./$(m))
	@touch $(STAMP)

demo: install
	$(BIN)/python -m ragwork.demo run

serve: install
	$(BIN)/python -m ragwork.demo serve

test: install
	$(BIN)/python -m pytest

prove: install
	RAGWORK_PROVE=1 $(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install
	$(BIN)/python tests/perf/bench.py

# requirements.txt pins every third-party package by hash. uv.lock itself stays out of the repository.
lock: install
	$(BIN)/uv lock --quiet
	$(BIN)/uv export --quiet --all-packages --all-groups --no-emit-workspace --output-file requirements.txt

clean:
	rm -rf $(VENV) var
