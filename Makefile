# `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
export MLFLOW_DISABLE_TELEMETRY ?= true

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.runtime ## Make .venv with the pinned dependencies.

.PHONY: demo
demo: setup ## Train and evaluate on the built-in data set, about two minutes.
	mlflow run . --env-manager local

.PHONY: ui
ui: setup ## Show the runs in MLflow's web interface.
	mlflow ui --backend-store-uri sqlite:///mlflow.db

.PHONY: test
test: $(VENV)/.development ## Run the tests.
	python -m pytest $(PARALLEL)

.PHONY: unit
unit: $(VENV)/.development ## Run the quick tests, a minute and a half.
	python -m pytest $(PARALLEL) -m "not slow"

# Which tests share a process, and in which order they come, is said in tests/conftest.py.
PARALLEL := -n 2 --dist loadscope --no-loadscope-reorder

.PHONY: clusters
clusters: $(VENV)/.development ## Run the tests of odd Ray clusters, half a minute, which `make test` leaves out.
	python -m pytest -m odd_cluster

.PHONY: faults
faults: $(VENV)/.development ## Inject every fault, half an hour, and print the table of docs/reliability.md.
	FAULTS=full python -m pytest tests/end_to_end/faults -n 2 --timeout 1800

.PHONY: check
check: $(VENV)/.development ## Check style, types and layers.
	ruff format --check .
	ruff check .
	mypy
	lint-imports

.PHONY: bench
bench: $(VENV)/.development ## Measure training against a bare fit, figures, and extraction (VIDEOS=...).
	python -m benchmarks.instrumentation
	python -m benchmarks.figures
	$(if $(VIDEOS),python -m benchmarks.extraction --videos_dir $(VIDEOS))

.PHONY: lock
lock: $(VENV)/.development ## Pin the dependencies of pyproject.toml anew.
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) pyproject.toml --extra dev --extra postgres --extra ray --extra video \
		-c requirements.txt -o requirements-dev.txt

LOCK := uv pip compile --quiet --universal --python-version 3.11 \
	--no-emit-index-url --no-header --no-annotate

.PHONY: clean
clean: ## Remove the environment and caches; runs and MLflow's files stay.
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/.runtime: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] < (3, 14) else "Python 3.11 to 3.13 is needed, found %s: set PYTHON=..." % sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	-$(BIN)/python -m pip install $(QUIETLY) --constraint requirements-dev.txt uv
	$(call install,requirements.txt)
	touch $@

$(VENV)/.development: $(VENV)/.runtime requirements-dev.txt
	$(call install,requirements-dev.txt)
	touch $@

QUIETLY := --quiet --disable-pip-version-check

# uv takes a third of the time that pip takes. It knows nothing of pip's settings, a mirror or a
# certificate above all: where it cannot install, pip does.
define install
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r $(1) || \
		{ echo "uv could not install, pip tries"; $(BIN)/python -m pip install $(QUIETLY) -r $(1); }
endef
