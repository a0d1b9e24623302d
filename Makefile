# The words of this project. `make demo` and `make test` set up all they need in .venv/.
PYTHON ?= python3
PIP = .venv/bin/pip --disable-pip-version-check install --quiet --require-hashes --no-deps
UV = .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.venv/run.stamp: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else "Slackwater needs Python 3.11 to 3.13, this is " + sys.version)'
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.lock
	.venv/bin/pip --disable-pip-version-check install --quiet --no-build-isolation --no-deps --editable .
	touch $@

.venv/dev.stamp: .venv/run.stamp requirements-dev.lock
	$(PIP) -r requirements-dev.lock
	touch $@

lock: ## Resolve all dependencies again (needs the network)
	.venv/bin/pip install --quiet uv
	$(UV) pyproject.toml --extra all --group pyproject.toml:build --group pyproject.toml:web -o requirements.lock
	$(UV) pyproject.toml --extra all --group pyproject.toml:build --group pyproject.toml:web --group pyproject.toml:dev \
	  --constraint requirements.lock -o requirements-dev.lock
