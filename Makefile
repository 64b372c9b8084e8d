# `make` lists the targets. `make demo` and `make test` need Python >= 3.11 and Java 17 or 21, and set up the rest.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/sh

BIN := .venv/bin
# Sets JAVA_HOME for the command that follows, or says how to install a Java that fits.
WITH_JAVA := JAVA_HOME=$$(sh scripts/java_home.sh) && export JAVA_HOME &&
# More arguments for pytest: make test PYTEST_ARGS="-k plan -x"
PYTEST_ARGS ?=
# Tests run in so many processes, each with a Spark, a Kafka and a Valkey of its own; 0 is all in one.
WORKERS ?= 2
IN_PARALLEL = -n $(WORKERS) --dist loadgroup
# More arguments for the benchmark: make bench-batch BENCH_ARGS="--rows 400000 --pairs 1 --small-files 500"
BENCH_ARGS ?=
# More arguments for the locking: make lock LOCK_ARGS=--upgrade
LOCK_ARGS ?=
# How long the long storm is, about an hour by default: make chaos CHAOS_KILLS=200 CHAOS_EVENTS=100000 CHAOS_SEED=2
CHAOS_KILLS ?= 1000
CHAOS_EVENTS ?= 1000000
CHAOS = $(foreach name,KILLS EVENTS RATE SEED SECONDS REPORT,\
	$(if $(CHAOS_$(name)),SCORETRAIL_TEST_CHAOS_$(name)="$(CHAOS_$(name))"))
COMPILE = $(BIN)/uv pip compile --generate-hashes --universal --python-version 3.11 \
	--no-emit-index-url --no-annotate --custom-compile-command "make lock" --quiet
# What a worker never imports: it registers no model and writes no table, and its image has a limit.
NOT_IN_STREAM := $(addprefix --no-emit-package ,onnx ml-dtypes deltalake arro3-core)
# What pyproject.toml keeps out of the control environment stays in the resolution, with a marker that is never true.
NOT_IN_CONTROL := $(addprefix --no-emit-package ,pyspark-client numpy pandas pyarrow zstandard)
# The DAGs, the plugin and their tests are checked against the types of Airflow, which only the other environment has.
OF_CONTROL := --python-executable .venv-control/bin/python --cache-dir .mypy_cache/control \
	dags plugins $(wildcard tests/control/*.py)
# What a unit run leaves out: everything that starts a program or takes its time.
NOT_UNIT := integration or cluster or s3 or chaos or slow or bench

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: java
java: ## Check that there is a Java 17 or 21, or print the line that installs one
	@sh scripts/java_home.sh >/dev/null

.PHONY: setup
setup: ## Make or repair .venv from locks/scoring.txt; demo, test and check do it themselves
	@PYTHON="$(PYTHON)" sh scripts/setup.sh

.PHONY: setup-control
setup-control: setup ## Make or repair .venv-control from locks/control.txt: Airflow, apart from what scores
	@sh scripts/setup.sh control

.PHONY: doctor
doctor: setup ## Check Java, Spark, ONNX Runtime, disk, clock and versions; print what mends them
	@if home=$$(sh scripts/java_home.sh 2>/dev/null); then JAVA_HOME=$$home; export JAVA_HOME; fi; \
		$(BIN)/scoretrail doctor

.PHONY: demo
demo: java setup ## Train on real flights, score a month in batch and a week as a stream, compare the bits
	@$(WITH_JAVA) $(BIN)/scoretrail demo

.PHONY: demo-december
demo-december: java setup ## The same, with the whole of December as a stream
	@$(WITH_JAVA) $(BIN)/scoretrail demo --december

.PHONY: airflow
airflow: java setup-control ## Run Airflow with the DAGs and the demo's flights on 127.0.0.1, until Ctrl-C
	@$(WITH_JAVA) $(BIN)/python -m examples.flights.schedule

.PHONY: test
test: java setup-control ## Run all tests but the slow ones, with branch coverage (at least 95 %)
	@$(WITH_JAVA) $(BIN)/pytest --cov $(IN_PARALLEL) $(PYTEST_ARGS)

.PHONY: test-unit
test-unit: setup ## Run what needs no other program: unit, property, contract and rule tests, doctests
	@$(BIN)/pytest $(IN_PARALLEL) -m "not ($(NOT_UNIT))" $(PYTEST_ARGS)

.PHONY: test-integration
test-integration: java setup-control ## Run the tests on real Spark, on a cluster, on an S3 server and under Airflow
	@$(WITH_JAVA) $(BIN)/pytest -m "(integration or cluster or s3) and not slow and not bench" $(IN_PARALLEL) $(PYTEST_ARGS)

.PHONY: test-slow
test-slow: java setup-control ## Run the tests that take minutes
	@$(WITH_JAVA) $(BIN)/pytest -m slow $(PYTEST_ARGS)

.PHONY: chaos
chaos: java setup-control ## Run every test that kills, freezes or starves something, the long ones too
	@$(WITH_JAVA) $(CHAOS) $(BIN)/pytest -m chaos $(PYTEST_ARGS)

.PHONY: coverage
coverage: ## Report the coverage of the last `make test`, as text and in htmlcov/
	@$(BIN)/coverage html --quiet --fail-under=0
	@$(BIN)/coverage report

.PHONY: check
check: setup-control ## Lint, check format, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy $(OF_CONTROL)
	$(BIN)/lint-imports

.PHONY: format
format: setup ## Format the code and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: build
build: setup ## Build the wheel and the sdist into dist/
	$(BIN)/python -m build --no-isolation

.PHONY: lock
lock: setup ## Write the locks again from pyproject.toml: scoring.txt, those of the images, and control.txt
	$(COMPILE) pyproject.toml --extra batch --extra stream --extra otel --extra drift --extra trees --extra train \
		--extra signing --extra dev --output-file locks/scoring.txt $(LOCK_ARGS)
	$(COMPILE) pyproject.toml --extra batch --extra stream --extra trees --constraint locks/scoring.txt \
		--output-file locks/batch.txt
	$(COMPILE) pyproject.toml --extra stream --constraint locks/scoring.txt $(NOT_IN_STREAM) --output-file locks/stream.txt
	$(COMPILE) --group control $(NOT_IN_CONTROL) --output-file locks/control.txt $(LOCK_ARGS)

.PHONY: docs-reference
docs-reference: setup ## Write the generated pages of docs/ again
	$(BIN)/python -m jobs.reference

.PHONY: bench-batch
bench-batch: java setup ## Measure batch scoring against a bare loop and mapInArrow, in interleaved pairs
	@$(WITH_JAVA) $(BIN)/python benchmarks/batch.py $(BENCH_ARGS)

.PHONY: bench-stream
bench-stream: java setup ## Measure stream scoring on a real Kafka and Valkey against a plain exactly-once loop
	@$(WITH_JAVA) $(BIN)/python benchmarks/stream.py $(BENCH_ARGS)

.PHONY: bench-drift
bench-drift: setup ## Measure false alarms and power of the verdict on drift, with Evidently's defaults beside it
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/drift.py $(BENCH_ARGS)

.PHONY: bench-trees
bench-trees: setup ## Measure the tree kernel against ONNX Runtime, LightGBM, and lleaves and TL2cgen where installed
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/trees.py $(BENCH_ARGS)

.PHONY: clean
clean: ## Remove builds, caches and reports; .venv and data stay
	rm -rf dist build htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -not -path "./.venv/*" -prune -exec rm -rf {} +
