PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TABLES ?=

.PHONY: demo test lint bench train clean
.DEFAULT_GOAL := help

help:  ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(BIN)/.flame: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(BIN)/.flame-test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ $(BIN)/.flame

demo: $(BIN)/.flame  ## generate five models and compare them with ordinary training
	$(BIN)/flame demo

test: $(BIN)/.flame-test  ## run the tests
	$(BIN)/python -m pytest -n 2

lint: $(BIN)/.flame-test  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(BIN)/.flame  ## where the time of one generation goes
	$(BIN)/python -m experiments.bench

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
