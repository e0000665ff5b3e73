# Each target sets up what it needs; a fresh machine has Python >= 3.11, make and git.
PYTHON ?= python3
BIN := .venv/bin
CORES ?= all

.PHONY: setup reproduce test test-cluster test-image lint bench
.DELETE_ON_ERROR:

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	PYTHON=$(PYTHON) .ci/install .venv
	@touch $@

reproduce: setup
	@$(BIN)/python workflow/unlock.py
	@$(BIN)/snakemake --cores $(CORES) --config suite=sprites
	@$(BIN)/python workflow/ending.py results/sprites

quick: setup
	@$(BIN)/python workflow/unlock.py
	@$(BIN)/snakemake --cores $(CORES) --config suite=quick 'wandb={"mode": "disabled"}'
	@$(BIN)/python workflow/ending.py results/quick

# docs/results-$(SUITE).md and README.md's table from the finished suite; finishes it first where it is not.
results: SUITE ?= sprites
results: setup
	$(BIN)/snakemake --cores $(CORES) --forcerun results_page --config suite=$(SUITE) -- results_page

# README.md's moving picture.
strip: setup
	$(BIN)/snakemake --cores $(CORES) --config suite=strip 'wandb={"mode": "disabled"}'
	$(BIN)/miga strip results/strip --out docs/pictures/strip.webp

# Three on two cores: many tests wait for a process, a lock or a server.
test: setup
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# A Slurm of one node on this machine, as root on Debian; SUITE=sprites for the whole of a suite.
test-cluster: SUITE ?= tests/cluster/small.yaml
test-cluster: setup
	tests/cluster/one-node install
	tests/cluster/run $(SUITE) 0 --slurm-array-jobs generate,score --jobs 200 --max-jobs-per-timespan 200/1s --slurm-array-limit 25

# The Dockerfile's steps in a fresh Debian, as root on Debian; elsewhere in a fresh environment.
test-image:
	tests/image/run

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

bench: setup
	@for script in $(filter-out benchmarks/before.py,$(wildcard benchmarks/*.py)); do echo "== $$script" && $(BIN)/python $$script || exit 1; done
