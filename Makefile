# make demo | test | check | bench: each sets up .venv by itself, then does its one thing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST ?=

.PHONY: demo test check bench setup clean

demo: setup
	$(BIN)/fusion demo

test: setup
	$(BIN)/python -m pytest $(PYTEST)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/rules

bench: setup
	$(BIN)/fusion bench all

setup: $(VENV)/installed

# Once, and again when the dependencies change.
$(VENV)/installed: pyproject.toml .ci/setup
	sh .ci/setup "$(PYTHON)" "$(VENV)"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
