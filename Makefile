# make videos  makes videos with the trained generator of this repository
# make demo    trains a model that draws digits, shows what it made
# make test    runs the tests
# make help    all targets

PYTHON ?= $(shell for p in python3.11 python3.10 python3.9 python3 python; do \
	"$$p" -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 12))' 2>/dev/null && \
	echo "$$p" && break; done)
BIN := .venv/bin
# A file is one worker's, for its fixtures; in the order of tests/conftest.py.
WORKERS := -q -n 2 --dist loadfile --no-loadscope-reorder
DEMO := runs/moving_mnist_digits
DEMO_EXPORT := saved_models/moving_mnist_digits

.PHONY: help videos demo test test-fast lint format lock benchmark tensorboard clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

videos: .venv/installed ## videos of the trained generator in saved_models/moving_mnist
	$(BIN)/python experiments/generate.py --saved_model=saved_models/moving_mnist --scale=3

demo: .venv/installed ## trains on Moving MNIST, 7 minutes at most, and exports the generator
	$(BIN)/python experiments/train.py --max_minutes=7 \
		--flagfile=experiments/configs/moving_mnist_digits.cfg
	@test -d $(DEMO)/generated || $(BIN)/python experiments/generate.py --run_dir=$(DEMO) --scale=3
	@test -d $(DEMO_EXPORT) || $(BIN)/python experiments/export.py --run_dir=$(DEMO) \
		--export_dir=$(DEMO_EXPORT)
	@echo
	@echo "What lies where:"
	@echo "  $(DEMO)/samples/      samples during training: step-0.gif and on"
	@echo "  $(DEMO)/generated/    videos of the trained generator: GIF, MP4, contact sheet, npz"
	@echo "  $(DEMO)/checkpoints/  training goes on from the newest"
	@echo "  $(DEMO_EXPORT)/1/    the generator as a SavedModel, as TF Serving reads it"
	@echo "What to run next:"
	@echo "  make tensorboard      losses, samples and singular values on http://localhost:6006"
	@echo "  $(BIN)/python experiments/generate.py --run_dir=$(DEMO) --seed=1"
	@echo "  $(BIN)/python experiments/train.py --flagfile=experiments/configs/moving_mnist_digits_16_frames.cfg"

test: .venv/installed-test .venv/openvino/installed ## runs the test suite
	$(BIN)/python -m pytest $(WORKERS) --durations=10

test-fast: .venv/installed-test ## runs the quick tests, about half of them
	$(BIN)/python -m pytest $(WORKERS) -m "not slow"

lint: .venv/installed-test ## checks format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/installed-test ## mends format and style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmark: .venv/installed ## measures the paper's network on this machine, about a quarter of an hour
	$(BIN)/python experiments/benchmark/benchmark.py --output=benchmark-$$(date +%Y%m%d-%H%M%S).json

tensorboard: .venv/installed ## shows all runs on http://localhost:6006
	$(BIN)/tensorboard --logdir runs

lock: .venv/uv ## renews the lock files from setup.py
	$(BIN)/uv pip compile setup.py --extra data --extra prepare --extra evaluation --extra serving --extra storage --extra test \
		--universal --python-version 3.9 --upgrade --no-header --quiet --output-file requirements-test.txt
	$(BIN)/uv pip compile setup.py --extra data --extra serving --universal --python-version 3.9 \
		--no-header --quiet --constraint requirements-test.txt --output-file requirements.txt
	echo openvino | $(BIN)/uv pip compile - --universal --python-version 3.9 --upgrade --no-header \
		--no-annotate --quiet --output-file requirements-openvino.txt

clean: ## removes the environment
	rm -rf .venv

.venv/uv:
	@test -n "$(PYTHON)" || { echo "tgan_tf needs Python 3.9, 3.10 or 3.11 (TensorFlow Addons ends\
	there) and none is on the PATH: install one, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 9) <= sys.version_info < (3, 12))' || { echo \
	"$(PYTHON) is not Python 3.9, 3.10 or 3.11: name one, make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.4"
	@touch $@

.venv/installed: .venv/uv requirements.txt setup.py
	@echo "Installing the locked requirements into .venv, about 2 GB: a minute or more"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

.venv/installed-test: .venv/installed requirements-test.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements-test.txt
	@touch $@

# By itself, since it is to know nothing of TensorFlow: tests/test_export_elsewhere.py.
.venv/openvino/installed: .venv/uv requirements-openvino.txt
	$(BIN)/uv venv --quiet --python $(BIN)/python .venv/openvino
	$(BIN)/uv pip install --quiet --python .venv/openvino/bin/python -r requirements-openvino.txt
	@touch $@
