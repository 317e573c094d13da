# diffsbi_edu: `make help` lists what there is to do.
#
#   make lab      learn          make test     everything CI runs
#
# Options, as in `make lab LAB_ARGS=--no-browser`:
#   PYTHON    the Python (3.11 or newer) that .venv is made from    default python3
#   PIP_ARGS  extra arguments for pip, e.g. another package index
#   LAB_ARGS  extra arguments for JupyterLab
#   ARGS      extra arguments for pytest in quick, unit, doctest, notebooks, browser-test
#   JOBS      processes that unit tests, pages, submissions run in  default 2
#   COURSE    the course's folder                                   default assignments
#   PS        the problem set, as in `make course-grade PS=ps1`
#   FROM      the folder of submissions for course-collect

.DEFAULT_GOAL := help
PYTHON ?= python3
PIP_ARGS ?=
LAB_ARGS ?=
ARGS ?=
JOBS ?= 2
COURSE ?= assignments
PS ?=
FROM ?=

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
INSTALLING := .venv.installing
FIRST_PAGE := /lab/tree/notebooks/00_start_here.ipynb
KERNEL6 := .ipykernel6
NOTEBOOKS = $(sort $(wildcard notebooks/*.ipynb))
PYTEST := $(BIN)/python -m pytest
PIP := $(BIN)/python -m pip --disable-pip-version-check
STEPS := lint types unit doctest notebooks browser-test kernel6-test

# One test process, one thread: two processes that each use every core only get in each other's way.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
# JupyterLab refuses to start for root unless told; root is who you are in most containers. It still
# listens on this machine only, and still asks for its token.
ROOT_ARG := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help setup lab test quick lint types format unit doctest notebooks notebooks-run \
        browser browser-test kernel6-test kernels-test bench pins clean \
        course-check course-release course-collect course-grade course-marks course-feedback

help:  ## this list
	@echo "diffsbi_edu: make <target>"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
	  awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

# ------------------------------------------------------------------------------------ setting up

setup: $(STAMP)  ## make .venv with everything in it (instant when nothing has changed)
	@echo "$(VENV) is ready."

# $(INSTALLING) marks an installation under way: found at the start, the last one was interrupted, and
# packages may be half there, so .venv is made anew (what pip had downloaded, it still has).
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "diffsbi_edu needs Python 3.11 or newer; '$(PYTHON)' is not one."; \
	  echo "Install one and name it:  make setup PYTHON=python3.12"; exit 1; }
	@if [ -e $(INSTALLING) ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  touch $(INSTALLING); $(PYTHON) -m venv --clear $(VENV) || { \
	    echo "Could not make $(VENV). On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }; \
	fi
	@echo "Installing into $(VENV) (a few minutes the first time: PyTorch is large) ..."
	@touch $(INSTALLING)
	@$(PIP) install --quiet $(PIP_ARGS) --constraint constraints.txt --editable '.[test,course,bench,arviz,peers,cluster]'
	@rm -f $(INSTALLING)
	@touch $@

lab: $(STAMP)  ## open JupyterLab on the first page
	$(BIN)/python -m jupyterlab --LabApp.default_url=$(FIRST_PAGE) $(ROOT_ARG) $(LAB_ARGS)

# --------------------------------------------------------------------------------------- testing

test: $(STAMP)  ## everything CI runs, stopping at the first step that fails
	@set -e; start=$$(date +%s); \
	for step in $(STEPS); do \
	  echo "=== $$step"; t=$$(date +%s); \
	  $(MAKE) --no-print-directory $$step; \
	  echo "=== $$step took $$(( $$(date +%s) - t )) s"; \
	done; \
	echo "=== make test took $$(( $$(date +%s) - start )) s: all is well"

quick: $(STAMP)  ## the unit tests that take seconds
	$(ONE_THREAD) $(PYTEST) -m "not browser and not slow" -n $(JOBS) $(ARGS) tests

lint: $(STAMP)  ## ruff
	$(BIN)/python -m ruff check .

types: $(STAMP)  ## mypy
	$(BIN)/python -m mypy

format: $(STAMP)  ## let ruff sort imports, fix what is safe to fix, and lay out the code
	$(BIN)/python -m ruff check --fix-only diffsbi_edu tests benchmarks tools
	$(BIN)/python -m ruff format diffsbi_edu tests benchmarks tools

unit: $(STAMP)  ## unit, property and structure tests
	$(ONE_THREAD) $(PYTEST) -m "not browser" -n $(JOBS) $(ARGS) tests

doctest: $(STAMP)  ## the examples in the docstrings
	$(ONE_THREAD) MPLBACKEND=Agg $(PYTEST) --doctest-modules $(ARGS) diffsbi_edu

# JOBS pages at a time, each in one process on one thread: on a busy machine torch's threads wait for
# one another at every operation, and a page that takes a minute can take ten.
notebooks: $(STAMP)  ## run every page and compare its outputs with the stored ones (nbval)
	$(ONE_THREAD) $(PYTEST) --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg \
	  --nbval-cell-timeout=900 --timeout=0 --durations=5 -n $(JOBS) --dist loadscope $(ARGS) $(or $(NOTEBOOKS),notebooks)

browser-test: $(STAMP)  ## drive the dashboards in Chromium; skips where there is none
	$(PYTEST) -m browser $(ARGS) tests

# ipykernel 6 lies in a folder of its own in front of .venv, so nothing else is installed twice.
UNDER_KERNEL6 := PYTHONPATH="$(CURDIR)/$(KERNEL6)"

$(KERNEL6)/.stamp: $(STAMP)
	@rm -rf $(KERNEL6)
	@$(PIP) install --quiet $(PIP_ARGS) --target $(KERNEL6) --no-deps 'ipykernel>=6.29,<7' nest-asyncio
	@$(UNDER_KERNEL6) $(BIN)/python -c \
	  'import ipykernel; print("ipykernel", ipykernel.__version__); assert ipykernel.version_info[0] == 6'
	@touch $@

kernel6-test: $(KERNEL6)/.stamp  ## the dashboards in Chromium again, under ipykernel 6
	$(UNDER_KERNEL6) $(PYTEST) -m browser $(ARGS) tests

kernels-test: $(KERNEL6)/.stamp  ## pages and dashboards under ipykernel 6
	$(UNDER_KERNEL6) $(MAKE) --no-print-directory notebooks kernel6-test

# Chromium: looked for where tests/conftest.py looks; installed only from Debian's own packages.
# Without one the target says how to get it and succeeds, unless DIFFSBI_BROWSER=required.
browser:  ## install Debian's Chromium for the browser tests, if it is missing
	@found() { [ -x "$${CHROMIUM:-}" ] || command -v chromium || command -v chromium-browser \
	  || command -v google-chrome || ls -d "$${PLAYWRIGHT_BROWSERS_PATH:-$$HOME/.cache/ms-playwright}"/chromium-*; }; \
	if found >/dev/null 2>&1; then exit 0; fi; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
	if command -v apt-get >/dev/null && $$sudo true 2>/dev/null; then \
	  $$sudo apt-get update -qq && \
	  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    chromium fonts-dejavu-core >/dev/null || true; \
	fi; \
	if found >/dev/null 2>&1; then exit 0; fi; \
	echo "No Chromium was found, and none could be installed from here; browser tests will skip."; \
	echo "To run them: 'apt-get install chromium' as root on Debian, or '$(BIN)/playwright install"; \
	echo "chromium', or set CHROMIUM to the path of a Chromium or Chrome that you have."; \
	[ "$${DIFFSBI_BROWSER:-}" != required ]

# ---------------------------------------------------------------------------------- for courses

COURSE_COMMAND := $(BIN)/python -m diffsbi_edu.course --root $(COURSE)
NEEDS_PS = $(if $(PS),,$(error say which problem set: make $@ PS=ps1))

course-check: $(STAMP)  ## run the instructor's own solutions (PS=ps1, or all)
	@$(COURSE_COMMAND) check $(PS)

course-release: $(STAMP)  ## make the students' copies in assignments/release (PS=ps1, or all)
	@$(COURSE_COMMAND) release $(PS)

course-collect: $(STAMP)  ## take in submissions: PS=ps1 FROM=folder (plain, Moodle, Canvas)
	$(NEEDS_PS)$(if $(FROM),,$(error say where the submissions are: make $@ PS=$(PS) FROM=folder))
	@$(COURSE_COMMAND) collect $(PS) --from '$(FROM)'

course-grade: $(STAMP)  ## grade what was collected: PS=ps1
	$(NEEDS_PS)@$(COURSE_COMMAND) grade $(PS) --jobs $(JOBS)

course-marks: $(STAMP)  ## take points for written answers from their table: PS=ps1
	$(NEEDS_PS)@$(COURSE_COMMAND) marks $(PS)

course-feedback: $(STAMP)  ## write each student's feedback: PS=ps1
	$(NEEDS_PS)@$(COURSE_COMMAND) feedback $(PS)

# ----------------------------------------------------------------------------------- maintaining

notebooks-run: $(STAMP)  ## run every page again and store its outputs
	$(BIN)/python -m nbconvert --to notebook --execute --inplace --ExecutePreprocessor.timeout=300 \
	  --ExecutePreprocessor.kernel_name=python3 \
	  --ExecutePreprocessor.store_widget_state=False $(NOTEBOOKS)

bench: $(STAMP)  ## measure speed and accuracy with the scripts in benchmarks/
	@set -e; for script in benchmarks/[a-z]*.py; do echo "=== $$script"; $(BIN)/python $$script; done

# The resolver's answer for each Python in PINS_PYTHONS; a throw-away environment, nothing installed.
PINS_PYTHONS ?= python3.11 python3.12 python3.13
pins:  ## write constraints.txt afresh from the ranges in pyproject.toml
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; reports=; \
	for python in $(PINS_PYTHONS); do \
	  name=$$(basename $$python); \
	  $$python -m venv "$$dir/$$name"; \
	  "$$dir/$$name/bin/pip" --disable-pip-version-check install --quiet $(PIP_ARGS) \
	    --dry-run --report "$$dir/$$name.json" '.[test,course,arviz,bench,peers,cluster]'; \
	  reports="$$reports $$dir/$$name.json"; \
	done; \
	$(PYTHON) tools/pins.py $$reports > "$$dir/constraints.txt"; \
	cp "$$dir/constraints.txt" constraints.txt; echo "constraints.txt is written."

clean:  ## remove .venv and everything else that can be made again
	rm -rf $(VENV) $(INSTALLING) $(KERNEL6) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -type d -prune -exec rm -rf {} +
