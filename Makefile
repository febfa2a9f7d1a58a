# The face of the project. `make demo` and `make test` need Python 3.11 or newer, pip and make; uv is used where it is there.
#   make demo      fit mixtures to the geyser data, choose, and write a report
#   make test      every test but the slow ones, and the examples in the docstrings
#   make test-all  the slow tests too
#   make check     ruff, mypy, import-linter, sizes, light import
#   make docs      the documentation, warnings as errors
#   make bench     timings against named rivals, on this machine
#   make coverage  tests with the compiled kernels as plain Python, and what they never reach
#   make constraints  resolve the versions in constraints.txt anew (needs uv)
#   make clean     remove what the other targets made

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2

BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)

# Packages are byte-compiled as they are installed, and our own modules as they are imported: imports are several times faster.
unexport PYTHONDONTWRITEBYTECODE
export UV_COMPILE_BYTECODE = 1

ifeq ($(UV),)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
else
INSTALL = $(UV) pip install --quiet --python $(BIN)/python --constraint constraints.txt
endif

BASE := $(VENV)/.base-is-there
DEMO := $(VENV)/.demo-is-there
DEV := $(VENV)/.dev-is-there

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test test-all check check-style check-types check-layers check-sizes check-import \
  docs bench coverage constraints clean

help:
	@sed -n '2,/^$$/s/^#   //p' Makefile

# --- environments: a stamp for each, so that the second call installs nothing ---

$(BASE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "estep needs Python 3.11 or newer, and $(PYTHON) is older or missing: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
ifeq ($(UV),)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
else
	$(UV) venv --quiet --seed --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
endif
	@touch $@

$(DEMO): pyproject.toml constraints.txt | $(BASE)
	$(INSTALL) --editable ".[report]"
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BASE)
	$(INSTALL) --editable ".[plot,report,progress]" --group dev
	@touch $@ $(DEMO)

# --- what people call ---

demo: $(DEMO)
	$(BIN)/python examples/demo.py

# The workers fill the cores: threads of BLAS would only wait for each other.
test test-all: export OMP_NUM_THREADS = 1

test: $(DEV)
	$(BIN)/python -m pytest --quiet --numprocesses $(WORKERS) --doctest-modules src/estep
	$(BIN)/python -m pytest --numprocesses $(WORKERS) -m "not slow"

test-all: $(DEV)
	$(BIN)/python -m pytest --quiet --numprocesses $(WORKERS) --doctest-modules src/estep
	$(BIN)/python -m pytest --numprocesses $(WORKERS)

check: check-style check-types check-layers check-sizes check-import

check-style: $(DEV)
	$(BIN)/ruff check .

check-types: $(DEV)
	$(BIN)/mypy

check-layers: $(DEV)
	$(BIN)/lint-imports

check-sizes: $(DEV)
	$(BIN)/python tools/check_size.py

check-import: $(DEV)
	$(BIN)/python tools/check_import.py

docs: $(DEV)
	rm -rf docs/_build docs/api docs/worked
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "open docs/_build/html/index.html"

bench: $(DEV)
	@set -e; for script in bench/[a-z]*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

coverage: $(DEV)
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m coverage run -m pytest -m "not slow"
	$(BIN)/python -m coverage report

constraints:
	@echo "# The versions that tests and docs are run with, for every Python from 3.11 on. Made by: make constraints" > constraints.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --group dev \
	  --upgrade --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet >> constraints.txt

clean:
	rm -rf $(VENV) docs/_build docs/api docs/worked dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find src tests tools bench examples -name __pycache__ -type d -prune -exec rm -rf {} +
