# Two commands from nothing: `make demo` and `make test`. `make check` is lint and types, `make exam` the slow statistics.
# `make docs` builds the site of the documentation into site/ and shows that it loads nothing from elsewhere.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: demo test exam check docs clean

$(BIN)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

$(BIN)/.installed-dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@ $(BIN)/.installed

$(BIN)/.installed-docs: $(BIN)/.installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@

demo: $(BIN)/.installed
	$(BIN)/karat demo $(if $(ON),--on $(ON))

# Some machines are told to write no compiled modules, and then every process that a test starts compiles all of them.
test: $(BIN)/.installed-dev
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal

exam: $(BIN)/.installed-dev
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m exam -n auto

check: $(BIN)/.installed-dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

docs: $(BIN)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	$(BIN)/python -m pytest -q -m exam tests/docs/test_docs.py
	@echo "site/index.html is there; its search works where it is served: python3 -m http.server -d site"

clean:
	rm -rf $(VENV) runs site .pytest_cache .mypy_cache .ruff_cache
