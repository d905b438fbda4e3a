# Each target works on a fresh machine with python3 (3.11 or newer), pip, make and a C compiler.
PYTHON ?= python3
VENV ?= .venv
PIP_FLAGS ?=
ARGS ?=
WORKERS ?= auto

PY := $(VENV)/bin/python
INSTALL := $(PY) -m pip install $(PIP_FLAGS) -c constraints.txt
PYTEST := $(PY) -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal

.PHONY: help demo quick test matrix exhaustive lint clean

help:
	@echo "make demo        train and query a tagger and a parser on Python's own sources (one to two minutes)"
	@echo "make quick       ruff, and the core of the test suite (two minutes on two cores)"
	@echo "make test        run the test suite (ten minutes on two cores)"
	@echo "make matrix      run its core without numba, in a read-only home, with the oldest dependencies, on another Python"
	@echo "make exhaustive  run the nightly-sized random comparisons with enumeration"
	@echo "make lint        ruff and pyright"
	@echo "make clean       remove $(VENV)"

demo: $(VENV)/.demo
	$(PY) -m examples.python_source $(ARGS)

quick: $(VENV)/.lint
	$(PY) -m ruff check .
	$(PY) -m tests.warm
	$(PYTEST) @tests/core.txt $(ARGS)

test: $(VENV)/.test
	$(PY) -m tests.warm
	$(PYTEST) $(ARGS)

matrix: $(VENV)/.test
	$(PY) -m tests.matrix $(ARGS)

exhaustive: $(VENV)/.test
	$(PY) -m tests.warm
	$(PYTEST) -m exhaustive $(ARGS)

lint: $(VENV)/.lint
	$(PY) -m ruff check .
	$(PY) -m pyright --pythonpath $(PY)

clean:
	rm -rf $(VENV)

# `pip install --group` needs pip 25.1, newer than the pip that many Pythons bring along.
$(VENV)/.pip:
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip
	touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml constraints.txt
	$(INSTALL) -e '.[plot]' --group demo
	touch $@

$(VENV)/.test: $(VENV)/.pip pyproject.toml constraints.txt
	$(INSTALL) -e . --group test
	touch $@

$(VENV)/.lint: $(VENV)/.pip pyproject.toml constraints.txt
	$(INSTALL) -e . --group dev
	touch $@
