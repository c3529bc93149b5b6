# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# What `make evaluate` measures, and how; all of it can be given on the command line.
STORE ?= store
CHECKPOINTS ?= checkpoints
RUNS ?= runs
METRICS ?= metrics
CACHE ?= cache
SEQ_LENS ?= 32 64 128
EMBEDDERS ?= MTT_musicnn,MSD_musicnn
AST_DIR ?=
SYNTH ?= fluidsynth
CLIPS ?= 200
GENERATION_SEEDS ?= 3
LATENT_WINDOWS ?= 10000
CLASSIFIER_STEPS ?= 1200

DEMO := STORE=demo/store CHECKPOINTS=demo/checkpoints RUNS=demo/runs METRICS=demo/metrics CACHE=demo/cache \
	EMBEDDERS=MTT_musicnn SYNTH=tinysoundfont CLIPS=24 GENERATION_SEEDS=2 LATENT_WINDOWS=1500 CLASSIFIER_STEPS=150
TRAIN := --store demo/store --checkpoints demo/checkpoints --runs demo/runs --preset demo

.PHONY: env demo evaluate evaluate-shuffled test lint benchmarks clean

env: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-dev.txt requirements-no-deps.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-no-deps.txt
	touch $@

demo: env
	$(BIN)/python prepare_data.py --builtin --store demo/store
	$(BIN)/python train_cvae.py $(TRAIN)
	$(BIN)/python train_cgan.py $(TRAIN)
	$(BIN)/python train_hybrid.py $(TRAIN)
	$(MAKE) evaluate $(DEMO)
	$(BIN)/python generate.py --checkpoints demo/checkpoints --output demo/samples --count 4 --wav --synth tinysoundfont
	@echo
	@echo "This was a short run on a small corpus, to show that everything works. It is not the published recipe, and"
	@echo "the distances are of 24 clips a genre by an offline embedder, not of 200 by the report's."
	@echo "To read and to hear: demo/metrics/report.html. The music is in demo/samples, the logs are in demo/runs."

# Every evaluation of trained weights, and the page that shows them. What was embedded before comes from the cache.
evaluate: env
	$(call measure,$(CHECKPOINTS),$(METRICS),$(GENERATION_SEEDS))
	$(BIN)/python -m evaluation.damage --store $(STORE) --metrics $(METRICS) $(CURRICULUM) $(SOUND)
	for T in $(SEQ_LENS); do $(BIN)/python eval_mse.py $(HERE) --seq-len $$T || exit; done
	$(if $(filter 128,$(SEQ_LENS)),$(BIN)/python eval_mse.py $(HERE) --leak-target)
	$(BIN)/python eval_music.py $(HERE) $(CURRICULUM)
	$(BIN)/python -m evaluation.latent_plots $(HERE) --seq-len $(firstword $(SEQ_LENS)) --windows $(LATENT_WINDOWS)
	$(if $(wildcard $(CHECKPOINTS)/shuffled/hybrid_G_best_T*.pth),$(MAKE) evaluate-shuffled)
	$(BIN)/python report.py $(HERE) $(CURRICULUM) --runs $(RUNS) --synth $(SYNTH)

# The control experiment: the same for weights that were trained with --labels shuffled, beside those of the given labels.
evaluate-shuffled: env
	$(call measure,$(CHECKPOINTS)/shuffled,$(METRICS)/shuffled,1)
	$(BIN)/python -m evaluation.compare_labels $(HERE) $(CURRICULUM)

comma := ,
space := $(subst ,, )
CURRICULUM = --seq-lens $(subst $(space),$(comma),$(strip $(SEQ_LENS)))
on = --store $(STORE) --checkpoints $(1) --metrics $(2)
HERE = $(call on,$(CHECKPOINTS),$(METRICS))
SOUND = --embedders $(EMBEDDERS) --synth $(SYNTH) --clips $(CLIPS) --cache $(CACHE) $(if $(AST_DIR),--ast-dir $(AST_DIR))
define measure
	$(BIN)/python eval_fad_samples.py $(call on,$(1),$(2)) $(CURRICULUM) $(SOUND) --generation-seeds $(3)
	$(BIN)/python eval_genre.py $(call on,$(1),$(2)) $(CURRICULUM) --classifier-steps $(CLASSIFIER_STEPS) --cache $(CACHE)
	for T in $(SEQ_LENS); do $(BIN)/python eval_elbo.py $(call on,$(1),$(2)) --seq-len $$T || exit; done
endef

test: env lint
	$(BIN)/python -m pytest

lint: env
	$(BIN)/ruff check .

benchmarks: env
	$(BIN)/python benchmarks/preparation.py
	$(BIN)/python benchmarks/batches.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/rendering.py
	$(BIN)/python benchmarks/embedding.py
	$(BIN)/python benchmarks/fad.py

clean:
	rm -rf demo
