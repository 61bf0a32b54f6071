# `make help` lists the targets.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
export MLFLOW_DISABLE_TELEMETRY ?= true

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z_-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV)/.installed ## Make .venv with the project and its pinned dependencies.

.PHONY: demo
demo: setup ## Train and evaluate on the built-in data set, a few minutes.
	mlflow run . --env-manager local --experiment-name demo

.PHONY: ui
ui: setup ## Show the runs in MLflow's web interface, for instance `make ui PORT=5001`.
	mlflow ui --backend-store-uri sqlite:///mlflow.db --port $(PORT)

PORT ?= 5000

.PHONY: docs
docs: $(VENV)/.development ## Build the documentation in site/ (`mkdocs serve` shows it).
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

.PHONY: test
test: $(VENV)/.development ## Run the tests.
	python -m pytest $(PARALLEL)

.PHONY: unit
unit: $(VENV)/.development ## Run the quick tests, a minute and a half.
	python -m pytest $(PARALLEL) -m "not slow"

# tests/conftest.py defines which tests share a process, and their order.
PARALLEL := -n 2 --dist loadscope --no-loadscope-reorder

.PHONY: clusters
clusters: $(VENV)/.development ## Run the tests of odd Ray clusters, half a minute; `make test` omits them.
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
bench: $(VENV)/.benchmarks ## Measure speed and memory, ten minutes, and write benchmarks/RESULTS.md.
	python -m benchmarks
	$(if $(VIDEOS),python -m benchmarks.extraction --videos_dir $(VIDEOS))

.PHONY: bench-quick
bench-quick: $(VENV)/.benchmarks ## Measure a part of `make bench` with small sizes, one to two minutes.
	python -m benchmarks --quick

.PHONY: lock
lock: $(VENV)/.development ## Pin the dependencies of pyproject.toml anew.
	$(LOCK) pyproject.toml -o requirements.txt
	$(LOCK) pyproject.toml --extra dev --extra docs --extra postgres --extra ray --extra video \
		-c requirements.txt -o requirements-dev.txt

LOCK := uv pip compile --quiet --universal --python-version 3.11 \
	--no-emit-index-url --no-header --no-annotate

.PHONY: clean
clean: ## Remove the environment and caches; runs and MLflow's files stay.
	rm -rf $(VENV) build site .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(VENV)/.runtime: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] < (3, 14) else "Python 3.11 to 3.13 is needed, found %s: set PYTHON=..." % sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	-$(BIN)/python -m pip install $(QUIETLY) --constraint requirements-dev.txt uv
	$(call install,-r requirements.txt)
	touch $@

# Editable: `import pipeline` and `ocean-pipeline` work from any directory and use these sources.
$(VENV)/.installed: $(VENV)/.runtime pyproject.toml setup.py
	$(call install,--no-deps --no-build-isolation --editable .)
	touch $@

$(VENV)/.development: $(VENV)/.installed requirements-dev.txt
	$(call install,-r requirements-dev.txt)
	touch $@

# One of the measured programs writes logs for TensorBoard.
$(VENV)/.benchmarks: $(VENV)/.development
	$(call install,--constraint requirements-dev.txt "tensorboard>=2.20")
	touch $@

QUIETLY := --quiet --disable-pip-version-check

# uv takes a third of the time of pip, but does not read the settings of pip, such as a mirror or a
# certificate. If uv fails, pip installs.
define install
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python $(1) || \
		{ echo "uv failed; pip installs the packages"; $(BIN)/python -m pip install $(QUIETLY) $(1); }
endef
