# Two commands for everybody: `make restore` and `make test`. `make help` lists the others.

# Which versions are installed: tested (exact ones, which `make lock` writes), oldest (the lower bounds of pyproject.toml,
# on Python 3.11), or newest (whatever is there today). Each has its own environment, so that they never mix.
VERSIONS ?= tested
ifeq ($(VERSIONS),tested)
VENV ?= .venv
else
VENV ?= .venv-$(VERSIONS)
endif
CONSTRAINTS_tested := requirements/tested.txt
CONSTRAINTS_oldest := requirements/oldest.txt
CONSTRAINTS := $(CONSTRAINTS_$(VERSIONS))
ifeq ($(filter $(VERSIONS),tested oldest newest),)
$(error VERSIONS is tested, oldest or newest, got $(VERSIONS))
endif

ifeq ($(VERSIONS),oldest)
PYTHON ?= python3.11
endif
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	$(if $(CONSTRAINTS),--constraint $(CONSTRAINTS),--upgrade --upgrade-strategy eager)
COMPILE := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --strip-extras \
	--custom-compile-command 'make lock' --extra dev pyproject.toml
# The tests are divided among processes, one a processor: eight need about 16 GB of memory.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist worksteal
# What other packages announce to each other, and no call of ours avoids: `make check` lets it pass.
# torch's tensors do not know the `copy` that numpy 2 hands over; schedulers of diffusers make arrays of them.
ANNOUNCED := -W 'ignore:__array__ implementation:DeprecationWarning'
export IMAGE

.DEFAULT_GOAL := help
.PHONY: help restore test test-slow test-gpu test-browser docs check format lock clean
.DELETE_ON_ERROR:

help:
	@echo 'make restore                  restore the pictures of samples/ into restored/'
	@echo 'make restore IMAGE=photo.jpg  restore your own picture into restored/'
	@echo 'make test                     run the fast and the end-to-end tests'
	@echo 'make test-slow                run the slow tests, and on a machine with a GPU those that need one'
	@echo 'make test-gpu                 run what needs a CUDA device, and write its results to gpu_results.json'
	@echo 'make test-browser             look at the pages in a headless Chromium; fails where there is none'
	@echo 'make docs                     build the docs as a site into build/site, its links checked'
	@echo 'make check                    check format, lint, layers, limits and types, then run the tests'
	@echo 'make format                   format the code and sort its imports'
	@echo 'make lock                     write the tested and the oldest versions anew into requirements/'
	@echo 'make clean                    remove builds and caches; .venv/ and restored/ stay'
	@echo
	@echo 'Each installs what it needs into .venv first. PYTHON=python3.12 names the interpreter (3.11 or newer),'
	@echo 'VENV=folder another environment, VERSIONS=oldest or newest other versions than the tested ones.'

$(BIN)/activate:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'ldrestore needs Python 3.11 or newer, and $(or $(PYTHON),python3) is not: install one and name it,' \
			'for example: make restore PYTHON=python3.12' >&2; exit 1; }
	@echo 'Making the environment $(VENV) with $(PYTHON)'
	@$(PYTHON) -m venv '$(VENV)' || { \
		echo 'Python could not make the environment; on Debian and Ubuntu install the package python3-venv.' >&2; exit 1; }

# Stamps: .installed stands for the package alone, .installed-EXTRA for the package with that extra.
$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/activate
	@echo 'Installing ldrestore and PyTorch into $(VENV): some minutes and, with GPU support, some gigabytes, once'
	@$(PIP_INSTALL) --editable .
	@touch '$@'

$(VENV)/.installed-%: pyproject.toml $(CONSTRAINTS) | $(BIN)/activate
	@echo 'Installing ldrestore[$*] into $(VENV): some minutes and, with GPU support, some gigabytes, once'
	@$(PIP_INSTALL) --editable '.[$*]'
	@touch '$@'

restore: $(VENV)/.installed
ifdef IMAGE
	@$(BIN)/ldrestore restore "$$IMAGE" restored/ --overwrite
else
	@$(BIN)/ldrestore restore samples restored --overwrite
endif
	@echo 'The restored pictures lie in $(CURDIR)/restored'

test: $(VENV)/.installed-test
	$(PYTEST)

test-slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m 'slow or gpu' --timeout 3600

test-gpu: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m gpu --timeout 3600 --gpu-results gpu_results.json

test-browser: $(VENV)/.installed-browser
	$(BIN)/python -m pytest -m browser

docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo 'The docs lie in $(CURDIR)/build/site; begin with index.html'

check: $(VENV)/.installed-dev
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python scripts/check_layers.py
	$(BIN)/python scripts/check_limits.py
	$(BIN)/python scripts/check_names.py
	$(BIN)/python scripts/check_types.py
	$(BIN)/python scripts/write_model_card.py --check
	$(BIN)/python scripts/write_stable_card.py --check
	$(BIN)/python scripts/write_xl_card.py --check
	$(PYTEST) -W error $(ANNOUNCED)

format: $(VENV)/.installed-dev
	$(BIN)/python -m ruff check --fix --select I .
	$(BIN)/python -m ruff format .

lock: | $(BIN)/activate
	@$(PIP_INSTALL) uv
	$(COMPILE) --constraint requirements/tested.in --output-file requirements/tested.txt
	$(COMPILE) --resolution lowest-direct --output-file requirements/oldest.txt

clean:
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
