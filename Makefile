# make demo: the whole path on a fresh machine.  make test: everything that a change must pass.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
WORKERS ?= 2

.PHONY: help demo install dev test lint bench clean

help:
	@echo "make demo      install, then show the whole path on made CT studies"
	@echo "make install   create .venv with medloop in it"
	@echo "make test      install what tests need, then run every check and every test"
	@echo "make lint      the checks without the tests"
	@echo "make bench     every benchmark (NAME=hog: only that one)"
	@echo "make clean     remove .venv and caches; workspaces stay"

demo: install
	$(BIN)/medloop demo

install: .venv/.installed

dev: .venv/.installed-dev

.venv/.python:
	@test -n "$(PYTHON)" || { echo "medloop needs Python 3.11 or later: install it, or write make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "medloop needs Python 3.11 or later, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.installed: .venv/.python pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt -e .
	@$(PIP) list 2>/dev/null | grep -qi '^nvidia' && echo "Note: GPU libraries came with the install. They work, and medloop does not need them." || true
	@touch $@

.venv/.installed-dev: .venv/.installed
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

bench: install
	@for name in $(or $(NAME),$$($(BIN)/python -m bench | cut -d' ' -f1)); do \
		echo "== $$name"; $(BIN)/python -m bench $$name || [ $$? -eq 2 ] || exit 1; done

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis src/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
