# `make help` lists the targets. Each works alone from a fresh clone: it makes .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DO_NOT_TRACK := true
export DVC_NO_ANALYTICS := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test test-unit test-all check format bench ui clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "%-10s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(READY) ## make .venv with the pinned packages

demo: $(READY) ## run the active study whole, then print its results
	dvc repro
	@reid results

test: $(READY) ## all tests but slow and gpu
	pytest -m 'not slow and not gpu' -n 2 --dist loadfile --no-loadscope-reorder

test-unit: $(READY) ## the unit tests alone
	pytest tests/unit -m 'not slow and not gpu' -n 2 --dist loadfile --no-loadscope-reorder

test-all: $(READY) ## the slow tests too
	pytest -m 'not gpu'

check: $(READY) ## format, lint and types, as CI runs them
	ruff format --check .
	ruff check .
	mypy

format: $(READY) ## mend format and imports
	ruff format .
	ruff check --fix .

bench: $(READY) ## benchmarks, each against a named baseline in the same run; not those of an hour
	@for script in $(filter-out %/worlds.py %/pretraining_gain.py %/several_seeds.py %/cross_domain.py %/across_spectra.py %/idkl_cost.py %/reidmamba_cost.py benchmarks/bench_% benchmarks/evaluation_%,$(wildcard benchmarks/*.py)); do echo "== $$script"; python $$script || exit 1; done

ui: $(READY) ## serve the MLflow pages
	@echo 'Open http://127.0.0.1:5000/#/experiments?workflowType=machine_learning'
	mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db --artifacts-destination mlruns/artifacts

clean: ## remove what the pipeline generated; keeps .venv and MLflow's records
	rm -rf data models embeddings results registry reports .reid .dvc/cache .dvc/tmp dvc.lock
