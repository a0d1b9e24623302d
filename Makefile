# The words of this project. Each one sets up what it needs in .venv/; nothing is installed outside this folder.
.DEFAULT_GOAL := help
.PHONY: help demo test crash check check-orchestrators bench soak schedules swaps fuzz docs mutants web lock clean
.DELETE_ON_ERROR:

# Set PYTHON to choose one; else the first of these that is 3.11 to 3.13 and can make virtual environments.
PYTHONS = $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python)
PIP = .venv/bin/python -m pip --disable-pip-version-check install --quiet
LOCKED = $(PIP) --require-hashes --no-deps -r
UV = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header
UV_RUN = $(UV) pyproject.toml --extra all --group pyproject.toml:build --group pyproject.toml:web
WEB = $(wildcard serving/page/web/build.py serving/page/web/package.json serving/page/web/package-lock.json serving/page/web/.npmrc)

USABLE = import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
SEEN = import sys; v = sys.version_info[:2]; print("  found Python", sys.version.split()[0], "as", sys.executable + ",", \
  "without the venv and ensurepip modules" if (3, 11) <= v <= (3, 13) else "out of range", file=sys.stderr)

# Sets the shell variable `python`, or says what is missing and fails.
define find_python
python=; for each in $(PYTHONS); do \
  if "$$each" -c '$(USABLE)' >/dev/null 2>&1; then python=$$each; break; fi; \
done; \
if [ -z "$$python" ]; then \
  echo 'Slackwater needs Python 3.11, 3.12 or 3.13 with its venv module, and found none.' >&2; \
  for each in $(PYTHONS); do "$$each" -c '$(SEEN)' 2>&1 | grep '^  found' >&2; done; \
  echo '  Debian, Ubuntu:  apt-get install python3 python3-venv' >&2; \
  echo '  Fedora:          dnf install python3.13' >&2; \
  echo '  macOS:           brew install python@3.13' >&2; \
  echo '  Then run make again; with PYTHON=<path> it takes the Python you name.' >&2; \
  false; \
fi
endef

help: ## List these words
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' $(MAKEFILE_LIST) | while read -r word text; do printf '  make %-19s %s\n' "$$word" "$$text"; done
	@echo '  ARGS="..." is passed on by demo, test, bench, soak and check-orchestrators.'
	@{ $(find_python); } || true

demo: .venv/run.stamp web ## Start everything on this machine, stream trades, prove the answers
	.venv/bin/slackwater demo $(ARGS)

# Bytecode is kept whatever the environment says: each of hundreds of processes would compile all modules anew.
test: export PYTHONDONTWRITEBYTECODE =
test: .venv/dev.stamp web ## Run the tests, with a real broker
	.venv/bin/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(ARGS)

crash: .venv/dev.stamp web ## Kill everything: at every step, at random moments, and the log itself (an hour)
	.venv/bin/pytest -m crash
	.venv/bin/python -m tests.crash $(ARGS)

check: .venv/dev.stamp ## Check format, style, types and the direction of imports
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo

check-orchestrators: .venv/run.stamp ## Load the examples for Airflow, Dagster, Prefect, systemd and cron (network)
	$(PIP) uv
	.venv/bin/python deploy/orchestrators/check.py $(ARGS)

bench: .venv/run.stamp ## Measure throughput and latency
	.venv/bin/slackwater bench $(ARGS)

soak: .venv/dev.stamp ## Simulate 10,000 random histories on every core
	.venv/bin/python -m tests.simulation.soak $(ARGS)

schedules: .venv/dev.stamp ## Play 200 random schedules of runs, corrections, merges, rollbacks and faults
	.venv/bin/python -m tests.schedules $(ARGS)

swaps: .venv/dev.stamp ## Swap 1,000 versions under load, ask 10,000 questions around cuts
	.venv/bin/slackwater swaps $(ARGS)
	HYPOTHESIS_PROFILE=search .venv/bin/pytest -m crash tests/test_boundaries.py

fuzz: .venv/dev.stamp ## Send 10,000 generated requests, all checks of Schemathesis
	.venv/bin/python -m tests.fuzz $(ARGS)

docs: .venv/run.stamp ## Build the documentation site into build/site
	@[ -x .venv-docs/bin/mkdocs ] || .venv/bin/python -m venv .venv-docs
	@.venv-docs/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r docs/requirements.lock
	.venv/bin/python -m docs.build .venv-docs/bin/mkdocs

mutants: .venv/dev.stamp ## Change merge, cut, chain and publish in every small way: a test must notice
	@[ -x .venv-mutants/bin/cosmic-ray ] || .venv/bin/python -m venv .venv-mutants
	@.venv-mutants/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r tests/mutation/requirements.lock
	.venv-mutants/bin/python -m tests.mutation $(ARGS)

web: .venv/web.stamp ## Fetch the chart library of the page

lock: .venv/run.stamp ## Resolve all dependencies again (needs the network)
	$(PIP) uv
	$(UV_RUN) -o requirements.lock
	$(UV_RUN) --group pyproject.toml:dev --constraint requirements.lock -o requirements-dev.lock
	$(UV) --group pyproject.toml:build --group pyproject.toml:web --constraint requirements.lock -o deploy/build.lock
	$(UV) pyproject.toml --extra beam --extra serving --extra cli --extra capture --extra fast --constraint requirements.lock -o deploy/run.lock
	echo cosmic-ray | $(UV) - -o tests/mutation/requirements.lock
	printf '%s\n' mkdocs-material 'mkdocstrings[python]' | $(UV) - -o docs/requirements.lock

clean: ## Remove what make built: .venv, caches, the page's library; .slackwater (the data) stays
	rm -rf .venv .venv-docs .venv-mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage build dist
	rm -rf serving/page/static/vendor serving/page/web/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv whose Python is gone or out of range is made again.
.venv/run.stamp: requirements.lock pyproject.toml
	@if ! .venv/bin/python -c '$(USABLE)' >/dev/null 2>&1; then \
	  { $(find_python); } || exit 1; \
	  echo "Setting up .venv with $$("$$python" --version), about a minute"; \
	  "$$python" -m venv --clear .venv; \
	fi
	@$(LOCKED) requirements.lock
	@$(PIP) --no-build-isolation --no-deps --editable . --editable client
	@touch $@

.venv/dev.stamp: .venv/run.stamp requirements-dev.lock
	@$(LOCKED) requirements-dev.lock
	@touch $@

.venv/web.stamp: $(WEB) | .venv/run.stamp
	@if [ -f serving/page/web/build.py ]; then .venv/bin/python serving/page/web/build.py; fi
	@touch $@
