# Everything a checkout needs, from set-up to the first result. `make help` lists the targets.

PYTHON ?= python3
PIP_FLAGS ?=
# Processes that run tests side by side; with 0, one does it all and can be debugged. Each takes about 1 GB.
WORKERS ?= $(shell nproc)
VENV ?= .venv
RUN ?= runs/quickstart
LOWEST_VENV ?= $(CURDIR)/.venv-lowest
# What touches a dependency most: the environments, training, every command, export and bundles.
LOWEST_TESTS ?= tests/agents tests/controller tests/envs tests/experiments --ignore=tests/experiments/test_migrate.py
FLAGS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Which tests stay together: tests/groups.py.
PARALLEL := --numprocesses $(WORKERS) --maxprocesses 8 --no-loadscope-reorder
START_S := $(shell date +%s)

.DEFAULT_GOAL := help
.PHONY: help quickstart check test test-lowest lint types bench sizes docs docs-figures results clean

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20
	@echo
	@echo "  PYTHON=python3.12      the interpreter (3.11 or newer) that makes $(VENV)"
	@echo "  FLAGS='--set ...'      options of the training in make quickstart"
	@echo "  PIP_FLAGS='...'        options for pip, for example an index with CPU-only builds of PyTorch"

quickstart: $(INSTALLED)  ## train a policy, export it, run its controller, compare it on the fifteen rows
	$(BIN)/dqgym train configs/quickstart.yaml --run-dir $(RUN) --reuse $(FLAGS)
	$(BIN)/dqgym export $(RUN) --force
	$(BIN)/dqgym control $(RUN)/bundle --backend model --suite cover-letter
	$(BIN)/dqgym evaluate $(RUN) --suite cover-letter --out $(RUN)/report --force
	@echo "make quickstart took $$(( $$(date +%s) - $(START_S) )) s"

check: lint types  ## check style and types, and run the fast tests: about a minute
	$(BIN)/python -m pytest -m 'not slow' --durations 5 --durations-min 2 $(PARALLEL)

test: $(INSTALLED)  ## run all tests, on all cores
	$(BIN)/python -m pytest $(PARALLEL)

test-lowest: $(INSTALLED)  ## run tests with the oldest versions of all dependencies that pyproject.toml allows
	$(BIN)/python .ci/lowest.py $(LOWEST_VENV)
	NUMBA_CACHE_DIR=$(LOWEST_VENV)/kernels $(LOWEST_VENV)/bin/python -m pytest -p no:cacheprovider $(LOWEST_TESTS)

lint: $(INSTALLED)  ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)  ## check types
	$(BIN)/mypy

bench: $(INSTALLED)  ## measure environment steps/s, training frames/s and the latency of a decision
	$(BIN)/dqgym bench env
	$(BIN)/dqgym bench train
	$(BIN)/dqgym bench policy

sizes: $(INSTALLED)  ## install the light and the whole package afresh, and print their sizes and import times
	$(BIN)/python .ci/sizes.py $(PIP_FLAGS)

results: $(INSTALLED)  ## remake the stored results of docs that need no training and no KVM; resumable
	$(BIN)/python .ci/remake_results.py

docs: $(INSTALLED)  ## run every command and block of README and docs, long ones reduced, and print the log
	$(BIN)/python -m tests.docs

docs-figures: quickstart  ## compare what README and docs say of the quickstart policy with what comes out
	$(BIN)/python -m tests.docs figures $(RUN)

clean:  ## delete the virtual environment and all caches (runs/ stays)
	rm -rf $(VENV) $(LOWEST_VENV) *.egg-info build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find agents configs dqgym experiments tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The virtual environment; made again from the start when its last making was interrupted.
$(INSTALLED): pyproject.toml
	@command -v $(PYTHON) >/dev/null || { \
	    echo "$(PYTHON) not found: install Python 3.11 or newer (Debian, Ubuntu: apt install python3 python3-venv)," \
	    "or say which one to use: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$$($(PYTHON) --version) is too old: dqgym needs Python 3.11 or newer;" \
	    "say which one to use: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$$($(PYTHON) --version) cannot make virtual environments: apt install" \
	    "python$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv (or python3-venv)" >&2; exit 1; }
	@echo "setting up $(VENV); the first time, this downloads PyTorch and takes a few minutes"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -e '.[dev]'
	@touch $@
