# make videos  makes videos with the trained generator of this repository
# make demo    trains a model that draws digits, shows what it made
# make test    runs the tests
# make help    all targets

# TensorFlow 2.15 with Addons and IO first, which Python 3.9 to 3.11 gets, then today's.
SUITS := -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 14))'
PYTHON ?= $(shell for p in python3.11 python3.10 python3.9 python3.13 python3.12 python3 python; do \
	"$$p" $(SUITS) 2>/dev/null && echo "$$p" && break; done)
VENV := .venv
BIN := $(VENV)/bin
# A file is one worker's, for its fixtures; in the order of tests/conftest.py. One more worker than cores, since
# some tests wait.
WORKERS := -q -n 3 --dist loadfile --no-loadscope-reorder
# The theme's makers warn there of a later MkDocs, which the lock leaves out.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(VENV)/docs/bin/mkdocs
DEMO := runs/moving_mnist_demo
DEMO_EXPORT := saved_models/moving_mnist_demo

.PHONY: help videos demo test test-fast lint format docs docs-serve dist lock benchmark tensorboard clean \
	same-python

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

videos: $(VENV)/installed ## videos of the trained generator in saved_models/moving_mnist_conditional
	$(BIN)/python experiments/generate.py --saved_model=saved_models/moving_mnist_conditional \
		--num_videos=40 --scale=3

demo: $(VENV)/installed ## trains on Moving MNIST, 7 minutes at most, and exports the generator
	$(BIN)/python experiments/train.py --max_minutes=7 \
		--flagfile=experiments/configs/moving_mnist_demo.cfg
	@# Of the newest step, once: after a longer training there is more to show.
	@test -d $(DEMO)/generated/$$(ls $(DEMO)/checkpoints | sort -t- -k2n | tail -n 1)_seed-0 || { \
	$(BIN)/python experiments/generate.py --run_dir=$(DEMO) --scale=3 && \
	$(BIN)/python experiments/export.py --run_dir=$(DEMO) --export_dir=$(DEMO_EXPORT); }
	@echo
	@echo "What lies where:"
	@echo "  $(DEMO)/samples/      samples during training: step-0.gif and on"
	@echo "  $(DEMO)/generated/    videos of the trained generator: GIF, MP4, contact sheet, npz"
	@echo "  $(DEMO)/checkpoints/  training goes on from the newest"
	@echo "  $(DEMO_EXPORT)/    the generator as a SavedModel, as TF Serving reads it"
	@echo "What to run next:"
	@echo "  make demo             goes on to the last step, if the time was too short for it"
	@echo "  make tensorboard      losses, samples and singular values on http://localhost:6006"
	@echo "  $(BIN)/python experiments/generate.py --run_dir=$(DEMO) --seed=1"
	@echo "  $(BIN)/python experiments/train.py --flagfile=experiments/configs/moving_mnist_digits_long.cfg"

test: $(VENV)/installed-test $(VENV)/openvino/installed ## runs the test suite
	$(BIN)/python -m pytest $(WORKERS) --durations=10

test-fast: $(VENV)/installed-test ## runs the quick tests, about half of them
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

lint: $(VENV)/installed-test ## checks format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/installed-test ## mends format and style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/docs/installed ## builds the documentation into site/; a broken link or a warning fails
	$(MKDOCS) build --strict

docs-serve: $(VENV)/docs/installed ## shows the documentation on http://localhost:8000
	$(MKDOCS) serve

dist: $(VENV)/uv ## builds wheel and sdist into dist/ and checks them
	rm -rf dist
	$(BIN)/uv build --quiet --python $(BIN)/python
	$(BIN)/uv tool run --quiet twine check --strict dist/*

benchmark: $(VENV)/installed ## measures the paper's network on this machine, about a quarter of an hour
	$(BIN)/python experiments/benchmark/benchmark.py --output=benchmark-$$(date +%Y%m%d-%H%M%S).json

tensorboard: $(VENV)/installed ## shows all runs on http://localhost:6006
	$(BIN)/tensorboard --logdir runs

lock: $(VENV)/uv ## renews the lock files from setup.py
	$(BIN)/uv pip compile setup.py --extra data --extra prepare --extra evaluation --extra serving --extra storage --extra test \
		--universal --python-version 3.9 --upgrade --no-header --quiet --output-file requirements-test.txt
	$(BIN)/uv pip compile setup.py --extra data --extra serving --universal --python-version 3.9 \
		--no-header --quiet --constraint requirements-test.txt --output-file requirements.txt
	$(BIN)/uv pip compile --group docs --universal --python-version 3.9 --upgrade --no-header \
		--no-annotate --quiet --output-file requirements-docs.txt
	echo openvino | $(BIN)/uv pip compile - --universal --python-version 3.9 --upgrade --no-header \
		--no-annotate --quiet --output-file requirements-openvino.txt

clean: ## removes the environment
	rm -rf $(VENV)

# What is there may be of another Python than the one that PYTHON= names, and so of the other stack.
same-python:
	@test "$(origin PYTHON)" = file -o ! -e $(BIN)/python || \
	$(BIN)/python -c 'import sys; sys.exit(sys.argv[1] != str(sys.version_info[:2]))' \
	"$$($(PYTHON) -c 'import sys; print(sys.version_info[:2])')" || { \
	echo "$(VENV) is of $$($(BIN)/python -V): make clean, or VENV=folder for $(PYTHON)"; exit 1; }

$(VENV)/uv: | same-python
	@test -n "$(PYTHON)" || { echo "tgan_tf needs Python 3.9 to 3.13, and none is on the PATH: \
	install one, or name it: make PYTHON=/path/to/python3.13"; exit 1; }
	@$(PYTHON) $(SUITS) || { echo "$(PYTHON): tgan_tf needs Python 3.9 to 3.13: \
	install one and name it, make PYTHON=/path/to/python3.13"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.7"
	@touch $@

$(VENV)/installed: $(VENV)/uv requirements.txt setup.py
	@echo "Installing the locked requirements into $(VENV), about 2 GB: a minute or more"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed requirements-test.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-test.txt
	@touch $@

# By itself: it reads the package's sources and needs none of what the package needs.
$(VENV)/docs/installed: $(VENV)/uv requirements-docs.txt
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(VENV)/docs
	$(BIN)/uv pip install --quiet --python $(VENV)/docs/bin/python -r requirements-docs.txt
	@touch $@

# By itself, since it is to know nothing of TensorFlow: tests/test_export_elsewhere.py.
$(VENV)/openvino/installed: $(VENV)/uv requirements-openvino.txt
	$(BIN)/uv venv --quiet --python $(BIN)/python $(VENV)/openvino
	$(BIN)/uv pip install --quiet --python $(VENV)/openvino/bin/python -r requirements-openvino.txt
	@touch $@
