# `make demo` and `make test` set themselves up: they need Python 3.11+, Java 17+ and Maven, nothing else.
# ARGS is handed on: `make demo ARGS=--once`, `make test ARGS='tests/streams -k windows'`.

SHELL := /bin/bash
# Containers often have it set: every process would compile anew what it imports.
export PYTHONDONTWRITEBYTECODE :=
PYTHONS := python3 python3.13 python3.12 python3.11
UV := 0.13.9

.PHONY: help demo test fuzz faults soak bench check coverage lock clean
.DELETE_ON_ERROR:

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

demo: .venv/project ## Run the whole system on sample data; ends by itself with ARGS=--once
	@.venv/bin/npsflow demo $(ARGS)

test: .venv/project ## Run all tests, a real Kafka included, in two processes; with COVERED=1 also what `make coverage` does
	@$(PYTEST) $(if $(COVERED),$(MEASURED)) $(ARGS)
	@$(if $(COVERED),$(REPORT))

PYTEST := .venv/bin/python -m pytest --numprocesses=2 --dist=worksteal
MEASURED := -p tests.covered
REPORT := .venv/bin/coverage combine --quiet && .venv/bin/coverage report

fuzz: .venv/project ## Give intake, board, import and classify a hundred thousand odd inputs each; ARGS=tests/agents/board chooses
	@NPSFLOW_TEST_FUZZ=$${NPSFLOW_TEST_FUZZ:-100000} .venv/bin/pytest -k fuzzing $(or $(ARGS),$(FUZZED))

FUZZED := $(wildcard tests/*/*/test_fuzzing.py)

faults: .venv/project ## Crash, freeze and cut off everything under load, up to forty minutes; ARGS='-k zombie' chooses
	@.venv/bin/pytest -m 'faults and not soak' $(ARGS)

soak: .venv/project ## The same for a long time
	@.venv/bin/pytest -m soak $(ARGS)

bench: .venv/project ## Measure speed and memory, about a quarter of an hour; ARGS='classify latency' chooses figures
	@.venv/bin/python -m tests.bench $(ARGS)

check: .venv/project ## Check style, types, imports, generated files and the wheel, two at a time
	@$(MAKE) --no-print-directory --jobs=2 --keep-going $(if $(filter output-sync,$(.FEATURES)),--output-sync) $(CHECKS)

# The longest first.
CHECKS := check-editor check-wheel check-types check-contracts check-schemas check-style
.PHONY: $(CHECKS)

check-editor: # an editor finds every import and every name
	.venv/bin/basedpyright

check-wheel:
	.ci/check-wheel

check-types:
	.venv/bin/mypy

check-contracts:
	.venv/bin/lint-imports

check-schemas:
	.venv/bin/npsflow schemas export --check

check-style:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

coverage: .venv/project ## Run the tests of the pure packages alone, which cover them, all but 2% at most
	@$(PYTEST) $(MEASURED) -m pure --hypothesis-profile=few $(ARGS)
	@$(REPORT)

lock: .venv-lock ## Pin the dependencies of pyproject.toml in requirements.lock; newer ones too with ARGS=--upgrade
	UV_CUSTOM_COMPILE_COMMAND='make lock' .venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
		--extra test --generate-hashes --no-emit-index-url --no-annotate $(ARGS) --output-file requirements.lock pyproject.toml

clean: ## Remove everything that was made here; the downloaded Kafka stays
	rm -rf .venv .venv-lock .typing build dist *.egg-info .*_cache .hypothesis .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: every package in the version and with the hash of the lock, then this project itself, editable. mypy
# and editors look in .typing for the packages under the names by which they are imported.
.venv/project: .venv/lock pyproject.toml
	@echo 'setting up: npsflow itself'
	@.venv/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	@mkdir -p .typing/npsflow
	@for package in schemas streams agents; do ln -sfn ../../$$package .typing/npsflow/$$package; done
	@touch $@

.venv/lock: requirements.lock
	@set -euo pipefail; $(find_python); \
	packages=$$(grep -c '^[a-z].*==' requirements.lock); \
	echo "setting up: $$packages packages with $$($$python -V), in .venv"; \
	$$python -m venv --clear .venv; \
	if [[ -t 1 ]]; then format='\r\033[K%d of %d: %s'; else format=''; fi; \
	.venv/bin/pip install --disable-pip-version-check --progress-bar off --require-hashes -r requirements.lock \
		| awk -v total="$$packages" -v format="$$format" '/^Collecting/ {printf format, ++n, total, $$2; fflush()} \
			/^Installing/ && format {printf "\r\033[Kinstalling %d\n", n; fflush()}'
	@touch $@

# The resolver has an environment of its own: what is locked must not depend on it.
.venv-lock:
	@set -euo pipefail; $(find_python); \
	$$python -m venv --clear $@; \
	$@/bin/pip install --disable-pip-version-check --quiet uv==$(UV) || { rm -rf $@; exit 1; }

# Sets $$python, or ends with the command that installs what is missing.
define find_python
	for name in $(PYTHONS); do \
		if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	done; \
	if [[ -z "$${python:-}" ]]; then \
		echo 'npsflow needs Python 3.11 or newer, as one of: $(PYTHONS). Install it:'; \
		echo '  Debian 12, Ubuntu 24.04 or newer: sudo apt-get install python3 python3-venv'; \
		echo '  Ubuntu 22.04:                     sudo apt-get install python3.11 python3.11-venv'; \
		echo '  Fedora:                           sudo dnf install python3'; \
		echo '  macOS:                            brew install python'; \
		exit 1; \
	fi >&2; \
	if ! $$python -c 'import venv, ensurepip' 2>/dev/null; then \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		echo "$$python cannot make virtual environments: its module venv or ensurepip is missing. Install it:"; \
		echo "  Debian, Ubuntu: sudo apt-get install python$$version-venv"; \
		echo '  others:         a Python with all of its standard library'; \
		exit 1; \
	fi >&2
endef
