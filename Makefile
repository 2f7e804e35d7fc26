# Every target makes the virtual environment it needs and makes it only once.
#
#   make demo    train on drawn glyphs, export, draw; leaves a picture in runs/demo
#   make test    style, types and all tests, in two processes (JOBS=4: in four)
#   make api     API reference from docstrings, in build/api
#   make bench   speed and memory of what users wait for
#   make addons  TensorFlow Addons beside TensorFlow 2.15, on Python 3.11
#   make check   as test, in an environment of your own: make check BIN=DIR/bin
#   make clean   remove the virtual environment and caches, keep runs/
#
# Another Python: make PYTHON=python3.12 demo

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN ?= $(VENV)/bin
ADDONS = .venv-addons
PIP_INSTALL = $(VENV)/bin/python -m pip install --disable-pip-version-check \
	--quiet --constraint constraints.txt
PACKAGING = setup.cfg pyproject.toml constraints.txt

.PHONY: demo test api bench addons check lint types pytest clean
.DEFAULT_GOAL := demo

demo: $(VENV)/installed
	$(BIN)/python -m tf_metagan.train --flagfile=flags/ours_glyphs.flags --logdir=runs/demo
	$(BIN)/python -m tf_metagan.export --run=runs/demo --output=export/models/demo
	$(BIN)/python -m tf_metagan.serve --model=export/models/demo --images=docs/symbol --output=runs/demo/more.png
	@echo "What the exported model draws after five drawings: runs/demo/more.png"

test: $(VENV)/installed-dev
	$(MAKE) check

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks --quick

api: $(VENV)/installed-dev
	$(BIN)/python docs/make_api.py build/api

addons: $(ADDONS)/installed

check: lint types pytest

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

pytest:
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=loadfile

$(VENV)/installed: $(VENV)/made $(PACKAGING)
	@echo "Installing TensorFlow and what else tf_metagan needs into $(VENV)" \
		"(about 2.5 GB on disk, once) ..."
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@

$(ADDONS)/installed: setup.cfg constraints-addons.txt
	@command -v python3.11 >/dev/null || { \
		echo "TensorFlow Addons needs Python 3.11, and there is no" \
			"python3.11 here." >&2; exit 1; }
	python3.11 -m venv --clear $(ADDONS)
	$(ADDONS)/bin/python -m pip install --disable-pip-version-check --quiet \
		--constraint constraints-addons.txt --editable '.[addons]'
	@touch $@

# TensorFlow has no builds for other versions of Python.
$(VENV)/made:
	@command -v $(PYTHON) >/dev/null || { \
		echo "There is no $(PYTHON). On Debian or Ubuntu:" \
			"sudo apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "Python 3.11, 3.12 or 3.13 is needed, but $(PYTHON) is" \
			"$$($(PYTHON) --version 2>&1)." \
			"Install one of them and name it, such as:" \
			"make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments. On Debian or" \
			"Ubuntu: sudo apt install $$($(PYTHON) -c 'import sys; \
			print("python%d.%d-venv" % sys.version_info[:2])')" >&2; \
		exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

clean:
	rm -rf $(VENV) $(ADDONS) build dist *.egg-info
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
