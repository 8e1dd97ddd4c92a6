# The two commands are `make run` and `make test`; `make help` lists the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/ready
PIP_COMPILE := --quiet --upgrade --strip-extras --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

.DEFAULT_GOAL := help
.PHONY: help run test test-units test-browser test-workers test-chaos test-postgresql coverage fuzz chaos bench soak audit real-airflow screenshots lint format pins clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

run: $(READY) ## set up, and start it all in this terminal: web, worker, beat, Flower, a demo (DEMO=0: none)
	@$(BIN)/python -m local.run

test: $(READY) ## set up, and run all tests on SQLite and on PostgreSQL (TEST_DATABASE_URL, or one from a wheel)
	@# All at a time: many of the tests wait for what they have started.
	$(MAKE) --no-print-directory -j5 TOGETHER=1 test-units test-browser test-workers test-chaos test-postgresql

test-units: $(READY) ## the tests that need no other process, on SQLite (TESTS=tests/unit: of all groups, some only)
	TEST_ENGINE=sqlite $(PYTEST) $(or $(TESTS),tests/unit tests/db tests/compat) $(SIGNED)

test-browser: $(READY) ## the tests in a browser, on SQLite
	@$(BIN)/python -m local.browser $(SIGNED)
	TEST_ENGINE=sqlite $(PYTEST) $(or $(TESTS),tests/browser) $(SIGNED)

test-workers: $(READY) ## the tests with real workers, on SQLite but for those of the pipeline itself
	TEST_ENGINE=sqlite $(PYTEST) $(or $(TESTS),tests/broker --ignore=tests/broker/test_pipeline.py) $(SIGNED)

test-chaos: $(READY) ## the short chaos, which is of both databases
	$(PYTEST) $(or $(TESTS),tests/chaos) $(SIGNED)

test-postgresql: $(READY) ## the tests that have to do with a database, on PostgreSQL
	TEST_ENGINE=postgresql $(PYTEST) $(or $(TESTS),-m "not one_database" tests/db tests/broker/test_pipeline.py \
	  tests/broker/test_database_away.py tests/broker/test_secrets.py) $(SIGNED)

coverage: $(READY) ## the tests again, one group after the other, and which lines they ran: it takes twice as long
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory PYTEST="$(BIN)/coverage run -m pytest" test-units test-browser test-workers test-chaos test-postgresql
	@$(BIN)/coverage combine -q && $(BIN)/coverage report

PYTEST = $(BIN)/python -m pytest
# Whose line it is, where several write.
SIGNED = $(if $(TOGETHER),2>&1 | awk '{ print "$(@:test-%=%): " $$0; fflush() }')

fuzz: $(READY) ## 100,000 hostile messages (INPUTS=…, SEED=…; with TEST_ENGINE=postgresql on PostgreSQL)
	$(BIN)/python -m fuzz $(if $(INPUTS),--inputs $(INPUTS)) $(if $(SEED),--seed $(SEED))

audit: $(READY) ## look the pinned packages up in the database of known vulnerabilities: needs the internet
	$(BIN)/python -m local.audit requirements.txt requirements-dev.txt

bench: $(READY) ## all benchmarks, or BENCH="drain latency": figures beside their goals, also in var/bench.json
	@$(BIN)/python -m bench $(BENCH)

soak: $(READY) ## make run for an hour, its demo at ten times speed: memory, logs, tables (MINUTES=60 SPEED=10)
	@$(BIN)/python -m bench.soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SPEED),--speed $(SPEED))

chaos: $(READY) ## break everything, 10,000 events each (SEED=3 repeats, SCENARIO=disk-full picks, EVENTS=500)
	CHAOS_EVENTS=$(or $(EVENTS),10000) CHAOS_SEED=$(SEED) $(BIN)/python -m pytest tests/chaos -v \
	  -o log_cli=true -o log_cli_level=INFO -o log_cli_format="%(message)s" $(if $(SCENARIO),-k $(SCENARIO))

real-airflow: $(READY) ## our code against real Airflows: AIRFLOW2=…/bin/airflow AIRFLOW3=…/bin/airflow (docs/airflow.md)
	@$(BIN)/python -m local.real_airflow $(AIRFLOW2) $(AIRFLOW3)

screenshots: $(READY) ## make docs/pictures anew, from the demo in headless Chromium
	@$(BIN)/python -m local.browser
	PICTURES=docs/pictures $(BIN)/python -m pytest -q tests/browser/test_pictures.py

lint: $(READY) ## ruff, mypy, and the checks of Django
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	SECRET_KEY=lint $(BIN)/mypy .
	SECRET_KEY=lint $(BIN)/python manage.py makemigrations --check --dry-run
	DEBUG=0 SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(48))') \
	  ALLOWED_HOSTS=registry.example.org DATABASE_URL=postgresql://avram@db.example.org/avram \
	  RIKOLTI_EVENTS_QUEUE_URL=https://sqs.us-west-2.amazonaws.com/123456789012/rikolti-events \
	  RIKOLTI_EVENTS_TOPIC_ARNS=arn:aws:sns:us-west-2:123456789012:rikolti-events \
	  $(BIN)/python manage.py check --deploy --fail-level WARNING

format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pins: $(READY) ## pin anew what requirements.in and requirements-dev.in name
	CUSTOM_COMPILE_COMMAND="make pins" $(BIN)/pip-compile $(PIP_COMPILE) -o requirements.txt requirements.in
	CUSTOM_COMPILE_COMMAND="make pins" $(BIN)/pip-compile $(PIP_COMPILE) -o requirements-dev.txt requirements-dev.in

clean: ## remove the virtual environment and all state
	rm -rf .venv var .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(READY): requirements.txt requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed: install it, or name it with PYTHON=…"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11"; exit 1; }
	@echo "Setting up .venv (once; it takes a minute or two) …"
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
