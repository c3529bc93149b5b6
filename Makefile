# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

STORE := demo/store
DEMO := --store $(STORE) --checkpoints demo/checkpoints
TRAIN := $(DEMO) --runs demo/runs --preset demo
EVALUATE := $(DEMO) --metrics demo/metrics

.PHONY: env demo test lint benchmarks clean

env: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

demo: env
	$(BIN)/python prepare_data.py --builtin --store $(STORE)
	$(BIN)/python train_cvae.py $(TRAIN)
	$(BIN)/python train_cgan.py $(TRAIN)
	$(BIN)/python train_hybrid.py $(TRAIN)
	$(BIN)/python eval_mse.py $(EVALUATE)
	$(BIN)/python eval_elbo.py $(EVALUATE)
	$(BIN)/python generate.py --checkpoints demo/checkpoints --output demo/samples --count 4
	@echo
	@echo "This was a short run on a small corpus, to show that everything works. It is not the published recipe:"
	@echo "its tables are in demo/metrics, its music in demo/samples, its logs in demo/runs."

test: env lint
	$(BIN)/python -m pytest

lint: env
	$(BIN)/ruff check .

benchmarks: env
	$(BIN)/python benchmarks/preparation.py
	$(BIN)/python benchmarks/batches.py
	$(BIN)/python benchmarks/training.py

clean:
	rm -rf demo
