# Everything a machine with python3 (3.11 or newer, with venv) needs. `make` lists what there is.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
.DEFAULT_GOAL := help
.PHONY: help install demo test lint fix migration chaos bench lock notice reference screenshots

help: ## list these verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

install: ## make .venv with the locked packages; the command is .venv/bin/koppeling
	@PYTHON="$(PYTHON)" sh .ci/install

demo: install ## show it all on simulators; KEEP=1 leaves it running
	$(BIN)/koppeling demo $(if $(KEEP),--keep)

test: install ## run every test against real servers
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

lint: install ## check style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: install ## repair of the style what can be repaired, and name the rest
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	$(BIN)/ruff check

migration: install ## write the migration that changed models need: make migration m="add a column"
	@file=$$($(BIN)/python -m tools.new_migration "$$m") && $(BIN)/ruff check --quiet --fix "$$file" && \
	  $(BIN)/ruff format --quiet "$$file" && echo "Wrote $$file: read it, alembic does not see everything."

screenshots: install ## take the pictures of docs/console.md anew
	KOPPELING_SCREENSHOTS=docs/console $(BIN)/python -m pytest -q tests/browser/test_pictures.py

chaos: install ## break the running system at random for ten minutes and count what got lost or doubled
	$(BIN)/python -m benchmarks.chaos $(ARGS)

bench: install ## measure throughput and write benchmarks/result-*.json
	$(BIN)/python -m benchmarks $(ARGS)

lock: install ## renew the lock files, hashes included, also that of the tool which does it, then NOTICE
	$(PYTHON) -m venv .venv/lock-tools
	.venv/lock-tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/lock-tools.lock
	.venv/lock-tools/bin/uv pip compile --upgrade --universal --generate-hashes --python-version 3.11 \
	  --group dev pyproject.toml -o requirements-dev.lock
	.venv/lock-tools/bin/uv pip compile --universal --generate-hashes --python-version 3.11 \
	  -c requirements-dev.lock pyproject.toml -o requirements.lock
	echo uv | .venv/lock-tools/bin/uv pip compile --upgrade --universal --generate-hashes --python-version 3.11 \
	  --no-header --no-annotate - -o .ci/lock-tools.lock
	$(MAKE) notice

notice: install ## write what is shipped under which licence into NOTICE
	$(BIN)/python -m tools.notice

reference: install ## write docs/tenants-file.md and docs/codes.md from what they tell of
	$(BIN)/python -m tools.tenants_file
	$(BIN)/python -m tools.codes
