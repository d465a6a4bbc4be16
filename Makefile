# `make demo` and `make test` each do everything on a fresh machine with Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.PHONY: demo test test-all lint types docs check lock clean

demo: $(READY)
	$(BIN)/python examples/privacy-law/demo.py

test: $(READY)
	$(BIN)/python -m pytest -m "not slow" -n 2 -q

test-all: $(READY)
	$(BIN)/python -m pytest -n 2 -q

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python docs/check.py

check: lint types docs

# The environment: exactly the versions of requirements.lock, and the two packages of this repository. uv installs
# in a fifth of the time that pip takes, and pip stands in where uv cannot reach what pip can.
$(READY): requirements.lock requirements-alone.lock pyproject.toml models/minilm/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sourcebook needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv && $(BIN)/python -m uv pip install -q -r requirements.lock \
	  || $(BIN)/python -m pip install -q -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps -r requirements-alone.lock
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e models/minilm -e .
	touch $@

lock:
	$(BIN)/python -m uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --group dev \
	  --no-emit-package sourcebook-minilm --generate-hashes --no-header -q -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
