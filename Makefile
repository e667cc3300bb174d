# Two commands for a fresh machine with Python 3.11+, git and make:
#   make advise   install into .venv and run the advisor on the bundled Adult data
#   make test     install with test dependencies; lint, layer contracts, types, tests
# A second run of either reinstalls nothing unless one of INPUTS changed.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INPUTS := pyproject.toml constraints.txt setup.py $(wildcard mlfund/*/*.[ch])
JOBS ?= 2

# Small products run faster on one thread, and pytest already runs one process a core.
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: help advise test lint types contracts pytest check-estimators docs lowest clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("mlfund needs Python 3.11 or newer; this is %s. Try: make PYTHON=python3.12 ..." % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv .venv

# torch comes first, by its exact pin, so that no other package picks another build of it.
.venv/.torch: $(BIN)/python constraints.txt
	@echo "Installing PyTorch into .venv ..."
	@$(PIP) install "$$(grep '^torch==' constraints.txt)"
	@touch $@

.venv/.core: .venv/.torch $(INPUTS)
	@echo "Installing mlfund into .venv ..."
	@$(PIP) install -c constraints.txt -e .
	@touch $@

.venv/.dev: .venv/.core
	@echo "Installing the test dependencies into .venv ..."
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

advise: .venv/.core  ## run the advisor on the bundled Adult data
	$(BIN)/mlfund advise --demo --out mlfund-advice

test: lint contracts types pytest  ## everything that CI checks

lint: .venv/.dev  ## ruff: style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

contracts: .venv/.dev  ## import-linter: imports go down only
	$(BIN)/lint-imports --no-cache

types: .venv/.dev  ## mypy: vocabulary, engine, advisor
	$(BIN)/mypy

pytest: .venv/.dev  ## the tests
	$(TEST_ENV) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

check-estimators: .venv/.dev  ## scikit-learn's check_estimator on every public estimator, with counts
	$(TEST_ENV) $(BIN)/python -m tests.check_estimators

docs: .venv/.dev  ## build the documentation into site/
	$(BIN)/mkdocs build --strict

lowest:  ## the tests on the lowest supported versions, in .venv-lowest
	PYTHON=$(PYTHON) sh tests/lowest.sh

clean:  ## remove environments, caches and built files
	rm -rf .venv .venv-lowest site build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
