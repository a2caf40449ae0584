# Everything happens in a virtual environment of this checkout; `make` alone lists the commands.
VENV   ?= .venv
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3; do \
            "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null \
            && echo "$$candidate" && break; done)
# Extra arguments of the programs that are run: make test PYTEST_ARGS="-k ridge", make demo DEMO_ARGS="--json".
PYTEST_ARGS ?=
# Processes that run tests side by side; each makes the simulated datasets that it needs.
PYTEST_WORKERS ?= 2
# Interpreters that a release is tried with.
RELEASE_PYTHONS ?= python3.11 python3.12
DEMO_ARGS   ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Folders are listed too: one of them changes when a file is removed.
SOURCES := $(shell find brainscore_vision -name __pycache__ -prune -o -print | sed 's/ /\\ /g')

.DEFAULT_GOAL := help
.PHONY: help demo test test-lowest test-newest bounds install lint format notebook docs docs-outputs release clean
.NOTPARALLEL:

help: ## list these commands
	@echo "usage: make COMMAND [PYTHON=python3.11] [VENV=.venv]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1@\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS=@ read -r name text; do \
	    printf '  %-12s %s\n' "$$name" "$$text"; done

demo: $(VENV)/.plugin ## score seven models on the headline benchmarks, on simulated data; no download but packages
	$(BIN)/laion-score demo $(DEMO_ARGS)

test: $(VENV)/.test-requirements $(VENV)/.plugin ## run the test suite (PYTEST_ARGS="-k ridge -m 'not slow'")
	$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

# Once per release, in an environment of their own: what setup.py allows is what works.
BOUNDS := .venv-bounds
test-lowest: ## run the test suite with the lowest versions that setup.py allows: before a release
	@$(MAKE) --no-print-directory bounds RESOLUTION=lowest-direct

test-newest: ## run the test suite with the newest versions that it and brainscore-vision allow: before a release
	@$(MAKE) --no-print-directory bounds RESOLUTION=highest

bounds:
	@test -n "$(PYTHON)" || { echo "make: found neither Python 3.11 nor 3.12: name one with PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -m venv --clear $(BOUNDS)
	$(BOUNDS)/bin/python -m pip install --quiet uv
	$(BOUNDS)/bin/uv pip install --python $(BOUNDS)/bin/python --upgrade --resolution $(RESOLUTION) ".[test]"
	$(BOUNDS)/bin/python -m pytest -n $(PYTEST_WORKERS) --dist loadfile $(PYTEST_ARGS)

install: $(VENV)/.requirements ## put the checkout's files into the environment, in seconds; after each edit
	@rm -f $(VENV)/.plugin
	@$(MAKE) --no-print-directory $(VENV)/.plugin

lint: $(VENV)/.test-requirements ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test-requirements ## mend style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebook: $(VENV)/.test-requirements $(VENV)/.plugin ## execute usage_examples.ipynb anew and clean its outputs, after changes that show in them
	$(BIN)/python tools/run_notebook.py usage_examples.ipynb

docs: $(VENV)/.docs-requirements $(VENV)/.plugin ## build the site into docs/_build; it needs no network to be read
	$(BIN)/python -W ignore::FutureWarning -m sphinx -q -W --keep-going docs docs/_build
	@echo "docs/_build/index.html"

docs-outputs: $(VENV)/.test-requirements $(VENV)/.plugin ## write the outputs that the site and README show anew; then look at the difference
	LAION_FMRI_WRITE_DOCS=1 $(BIN)/python -m pytest tests/project/test_docs.py $(PYTEST_ARGS)

release: $(VENV)/.requirements ## build the wheel into dist/ and try it in a fresh environment of each of RELEASE_PYTHONS
	rm -rf dist
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@for python in $(RELEASE_PYTHONS); do tools/try_wheel "$$python" dist/*.whl || exit 1; done

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) $(BOUNDS) .pytest_cache .ruff_cache build dist docs/_build docs/_generated *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "make: found neither Python 3.11 nor 3.12: name one with PYTHON=/path/to/python" >&2; exit 1; }
	"$(PYTHON)" -m venv "$(VENV)"
	@touch $@

# Requirements are resolved anew when setup.py changed, and only then.
$(VENV)/.requirements: setup.py $(VENV)/.python
	@echo "Installing brainscore-vision and what it needs (PyTorch among it): some minutes, once"
	$(PIP) install "setuptools>=77" wheel
	$(PIP) install --no-build-isolation .
	@touch $@

$(VENV)/.test-requirements: setup.py $(VENV)/.requirements
	$(PIP) install --no-build-isolation ".[test]"
	@touch $@

$(VENV)/.docs-requirements: setup.py $(VENV)/.requirements
	$(PIP) install --no-build-isolation ".[docs]"
	@touch $@

# A forced reinstall uninstalls the files of the previous one first, so none of them stays behind.
$(VENV)/.plugin: $(VENV)/.requirements setup.py README.md LICENSE pyproject.toml $(SOURCES)
	$(PIP) install --quiet --no-deps --no-build-isolation --force-reinstall .
	@touch $@
