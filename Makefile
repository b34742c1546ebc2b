# opscore_fast: everything from a clone. `make help` lists the targets.
#
# The package is installed editable, with its extension built in place: what runs here is the tree.
# Each step leaves a stamp, so that a second call of a target starts at once.

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
ARGS ?=

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

PY := $(VENV)/bin/python
PIP := scripts/pip-install.sh $(PY)
C_FILES := $(sort $(shell find csrc -name '*.[ch]'))
C_STYLED := $(C_FILES) $(wildcard benchmarks/*.[ch])
BUILD_FILES := pyproject.toml setup.py buildtools.py
export PYTHON VENV PORT

# The steps share one virtual environment, and what goes wrong shall stand alone at the end.
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

.PHONY: help deps deps-test deps-bench install demo test test-all locust-tests lint format asan asan-c asan-suite tsan bench bench-soak bench-peers sdist wheel clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  Variables: PYTHON=$(PYTHON) VENV=$(VENV) PORT=$(PORT) ARGS=(more for pytest or the benchmark)"

# ---- set-up

deps: ## Install the system packages that the build needs (as root, with apt)
	@scripts/check-python.sh
	@scripts/system-packages.sh build

deps-test: | deps
	@scripts/system-packages.sh test

deps-bench: | deps
	@scripts/system-packages.sh bench

$(VENV)/.made: | deps
	@echo "Making $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "opscore_fast: $(PYTHON) -m venv $(VENV) failed" >&2; exit 1; }
	@touch $@

# What [build-system] names, as the extension is built in this environment and not in one of pip's.
$(VENV)/.build-tools: pyproject.toml | $(VENV)/.made
	@$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' > $(VENV)/build-requires.txt
	@$(PIP) -r $(VENV)/build-requires.txt
	@touch $@

# The package itself with one of its extras, such as $(VENV)/.with-test.
$(VENV)/.with-%: $(BUILD_FILES) $(VENV)/.build-tools | deps
	@echo "Installing opscore-fast[$*] into $(VENV)"
	@$(PIP) --no-build-isolation -e '.[$*]'
	@touch $@

$(VENV)/.core: $(C_FILES) $(BUILD_FILES) | $(VENV)/.with-standin
	@$(PY) setup.py -q build_ext --inplace
	@touch $@

install: $(VENV)/.with-standin $(VENV)/.core ## Make the virtual environment and install the package into it

# ---- running

demo: install ## Run scenario 1 (500 users, 30 s) against the stand-in service (HTTP2=1, TLS=1, NATIVE=1)
	@scripts/demo.sh

bench: deps-bench install $(VENV)/.with-test ## Compare with Locust's own users, wrk and other load generators
	@$(PY) benchmarks/bench.py $(ARGS)

bench-soak: deps-bench install $(VENV)/.with-test ## Send 20 million requests by native threads: is each counted, does memory grow
	@$(PY) benchmarks/soak.py $(ARGS)

bench-peers: ## Install the other load generators that bench compares with (oha, goose, hey)
	@benchmarks/install_peers.sh

# ---- checking

TESTS = $(PY) -m pytest $(ARGS)

test: deps-test install $(VENV)/.with-test ## Run the tests
	@$(TESTS)

# On the other versions, and under sanitizers, only what depends on that: not the tests of a test
# server by other clients (curl hangs beside the sanitizer).
OTHER_TESTS = --ignore=tests/test_engine_c.py --ignore=tests/test_package.py \
	--ignore=tests/test_make.py --ignore=tests/test_http2_server.py

test-all: test ## Run the tests, then those of the Python side on each other installed version
	@default=$$($(PY) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	for python in $$(scripts/pythons.sh); do \
		version=$$($$python -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
		[ $$version != $$default ] || continue; \
		echo "Testing on $$version ($$python)"; \
		$(MAKE) test PYTHON=$$python VENV=.venv-$$version ARGS='$(OTHER_TESTS) $(ARGS)' || exit 1; \
	done

lint: install $(VENV)/.with-lint ## Check style and types, and compile with warnings as errors
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(VENV)/bin/clang-format --dry-run -Werror $(C_STYLED)
	@OPSCORE_FAST_WERROR=1 $(PY) setup.py -q build_ext --build-lib build/lint
	@echo "Nothing to complain about."

format: $(VENV)/.with-lint ## Format the Python and C code
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .
	@$(VENV)/bin/clang-format -i $(C_STYLED)

# The suite runs in a copy of the tree beside a sanitized extension, so that every process which a
# test starts, from whatever folder, finds this one. Leaks are looked for by the C test programs;
# CPython's own would drown them here. libstdc++ is preloaded for greenlet's exceptions. ASan's
# reports go to files, so that one in a process whose end nobody looks at counts too; UBSan's runtime
# can't do that, it aborts.
ASAN := build/asan
ASAN_TREE := $(filter-out build dist csrc %.egg-info,$(wildcard *)) csrc
ASAN_ENV = LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libstdc++.so.6)" \
	ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:log_path=$(CURDIR)/$(ASAN)/report \
	UBSAN_OPTIONS=print_stacktrace=1:abort_on_error=1 \
	PYTHONMALLOC=malloc PYTHONPATH=$(CURDIR)/$(ASAN)

asan: asan-c asan-suite ## Run the tests under the address and undefined behaviour sanitizers

asan-c: deps-test install $(VENV)/.with-test
	@$(PY) -m pytest tests/test_engine_c.py

asan-suite: deps-test install $(VENV)/.with-test
	@rm -rf $(ASAN) && mkdir -p $(ASAN) && cp -a $(ASAN_TREE) $(ASAN)/ && rm -f $(ASAN)/opscore_fast/*.so
	@OPSCORE_FAST_SANITIZE=address,undefined $(PY) setup.py -q build_ext --build-lib $(ASAN)
	@cd $(ASAN) && env $(ASAN_ENV) $(abspath $(PY)) -m pytest $(OTHER_TESTS) $(ARGS) || failed=1; \
	cat report.* 2>/dev/null && exit 1; exit $${failed:-0}

tsan: deps-test install $(VENV)/.with-test ## Run the tests of native threads under the thread sanitizer
	@OPSCORE_FAST_SANITIZE=thread $(PY) -m pytest tests/test_engine_c.py -k "fleet or tally" $(ARGS)

locust-tests: install $(VENV)/.with-locust-tests ## Run Locust's own tests of its clients on ours (LOCUST=a checkout of Locust)
	@scripts/locust-tests.sh "$(LOCUST)" $(ARGS)

# ---- packaging

sdist: $(VENV)/.with-package ## Make the source distribution in dist/
	@rm -rf build/lib*
	@$(PY) -m build --no-isolation --sdist

wheel: $(VENV)/.with-package ## Make the source distribution and from it the wheel, in dist/
	@rm -rf build/lib*
	@$(PY) -m build --no-isolation

clean: ## Remove everything that was made here
	rm -rf build dist *.egg-info .venv .venv-* .pytest_cache .mypy_cache .ruff_cache opscore_fast/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
