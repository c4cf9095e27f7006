# Everything needs only Python 3.11 or newer: each target makes what it lacks.
# PYTHON=… chooses the interpreter, ARGS="…" passes options on.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install -qq --prefer-binary
ARGS ?=
SEEDS ?= 20
# Two processes, each with a PostgreSQL and a Valkey of its own; a file's tests stay together.
PARALLEL ?= -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: run test bench chaos lint format clean
.DELETE_ON_ERROR:

run: $(VENV)/installed
	@exec $(VENV)/bin/python manage.py up $(ARGS)

test: $(VENV)/installed-dev
	@exec $(VENV)/bin/python -m pytest $(PARALLEL) $(ARGS)

bench: $(VENV)/installed-dev
	@exec $(VENV)/bin/python -m bench $(ARGS)

chaos: $(VENV)/installed-dev
	@SEEDS=$(SEEDS) MESSAGES=5 exec $(VENV)/bin/python -m pytest -q $(ARGS) \
		tests/acceptance/test_chaos.py tests/acceptance/test_many_conversations.py

lint: $(VENV)/installed-dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	DATABASE_POOL_SIZE=0 $(VENV)/bin/python -W ignore manage.py makemigrations --check --dry-run

format: $(VENV)/installed-dev
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

# The data in .councilos/ stays.
clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -path ./.councilos -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/installed: requirements.txt | $(VENV)/bin/python
	@echo "Installing what CouncilOS needs (once) …"
	@$(PIP) -r requirements.txt
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@echo "Installing what its tests need (once) …"
	@$(PIP) -r requirements-dev.txt
	@touch $@

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed, and none was found. Install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is $$("$(PYTHON)" -V 2>&1). Name another: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@echo "Making a virtual environment in $(VENV)/ …"
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
