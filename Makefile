# `make demo` and `make test` work on a fresh machine.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Settings of `make evaluate`, which the command line can change: `make evaluate CLIPS=100`.
STORE ?= store
# Several folders, separated by commas, are compared. SOURCES: generator,cvae; LATENTS: normal,prior,posterior.
CHECKPOINTS ?= checkpoints
SOURCES ?= generator
LATENTS ?= prior
TEMPERATURE ?= 1
RUNS ?= runs
METRICS ?= metrics
CACHE ?= cache
SEQ_LENS ?= 32,64,128
EMBEDDERS ?= MTT_musicnn,MSD_musicnn
AST_DIR ?=
SYNTH ?= fluidsynth
CLIPS ?= 200
GENERATION_SEEDS ?= 3
LATENT_WINDOWS ?= 10000
CLASSIFIER_STEPS ?= 1200

DEMO := STORE=demo/store CHECKPOINTS=demo/checkpoints,demo/checkpoints/large SOURCES=generator,cvae \
	RUNS=demo/runs METRICS=demo/metrics CACHE=demo/cache \
	EMBEDDERS=MTT_musicnn SYNTH=tinysoundfont CLIPS=10 GENERATION_SEEDS=2 LATENT_WINDOWS=800 CLASSIFIER_STEPS=60
TRAIN := --store demo/store --checkpoints demo/checkpoints --runs demo/runs --preset demo
TRAIN_LARGE := --store demo/store --checkpoints demo/checkpoints/large --runs demo/runs/large --preset large-demo
# Elsewhere bfloat16 is computed by conversion and slower than float32; a training measures that, and its log says so.
BF16 := $(if $(shell grep -m1 -oE 'amx_bf16|avx512_bf16' /proc/cpuinfo 2>/dev/null),--bf16)
STUDY := --data demo/measures/bach --checkpoints demo/checkpoints --runs demo/runs --metrics demo/metrics \
	--parts B,improved --latents 32 --attributes 4 --seeds 1 --jobs 2 --sweep-measures 100 \
	--train-options='--hidden 48 --epochs 1 --epoch-rows 25000 --batch-size 128 --learning-rate 2e-3 --schedule cosine $(BF16)' \
	--measure-options='--dropout 0'

.PHONY: env demo demo-paper demo-large demo-melodies evaluate test lint benchmarks clean

env: $(VENV)/.installed

$(VENV)/.installed: requirements.txt requirements-app.txt requirements-dev.txt requirements-no-deps.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-no-deps.txt
	touch $@

demo: env
	$(BIN)/python prepare_data.py --builtin --store demo/store
	OMP_NUM_THREADS=1 $(MAKE) -j 3 demo-paper demo-large demo-melodies
	$(BIN)/python -m programs.study_compare $(STUDY)
	$(BIN)/python -m programs.study_sweeps --data demo/measures/bach,demo/measures/irish_folk --metrics demo/metrics \
		--weights $$(echo released/explainable/*.pth demo/checkpoints/explainable/bach/*/vae_best.pth | tr ' ' ,)
	$(MAKE) evaluate $(DEMO)
	$(BIN)/python generate.py --checkpoints demo/checkpoints/large --output demo/samples --count 4 --wav --synth tinysoundfont
	$(BIN)/python generate.py --output demo/shipped --count 4 --wav --synth tinysoundfont
	@echo
	@echo "This was a short run on a small corpus, to show that everything works. It is not the published recipe: the audio"
	@echo "distances, for example, use 10 clips per genre and one small embedder, not 200 clips and the report's embedder."
	@echo "Results and clips: demo/metrics/report.html. More clips: demo/samples. Logs: demo/runs."
	@echo "Clips of the released weights, which were trained for hours on other music: demo/shipped."

# Side by side: small networks train faster on a core each than one after another on all cores.
demo-paper: env
	$(BIN)/python train_cvae.py $(TRAIN)
	$(BIN)/python train_cgan.py $(TRAIN)
	$(BIN)/python train_hybrid.py $(TRAIN)

demo-large: env
	$(BIN)/python train_cvae.py $(TRAIN_LARGE)
	$(BIN)/python train_cgan.py $(TRAIN_LARGE)
	$(BIN)/python train_hybrid.py $(TRAIN_LARGE)

demo-melodies: env
	$(BIN)/python -m programs.study_prepare bach --out demo/measures/bach
	$(BIN)/python -m programs.study_prepare irish_folk --metres 4/4,2/2 --out demo/measures/irish_folk

# All evaluations of trained weights, and the page of results.
evaluate: env
	$(BIN)/python evaluate.py --store $(STORE) --checkpoints $(CHECKPOINTS) --runs $(RUNS) --metrics $(METRICS) \
		--source $(SOURCES) --latents $(LATENTS) --temperature $(TEMPERATURE) \
		--cache $(CACHE) --seq-len $(SEQ_LENS) --embedders $(EMBEDDERS) $(if $(AST_DIR),--ast-dir $(AST_DIR)) \
		--synth $(SYNTH) --clips $(CLIPS) --generation-seeds $(GENERATION_SEEDS) \
		--latent-windows $(LATENT_WINDOWS) --classifier-steps $(CLASSIFIER_STEPS)

test: env lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint: env
	$(BIN)/ruff check .

benchmarks: env
	$(BIN)/python -m benchmarks.preparation
	$(BIN)/python -m benchmarks.batches
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.rendering
	$(BIN)/python -m benchmarks.embedding
	$(BIN)/python -m benchmarks.fad

clean:
	rm -rf demo
