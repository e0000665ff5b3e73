# Each target sets up what it needs; a fresh machine has Python >= 3.11, make and git.
PYTHON ?= python3
BIN := .venv/bin
CORES ?= all

SLURM := snakemake-executor-plugin-slurm==2.8.0

.PHONY: setup reproduce test test-cluster lint bench
.DELETE_ON_ERROR:

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
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

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile

# A Slurm of one node on this machine, as root on Debian; SUITE=sprites for the whole of a suite.
test-cluster: setup
	$(BIN)/pip install --quiet --disable-pip-version-check $(SLURM)
	tests/cluster/run $(SUITE)

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

bench: setup
	@for script in benchmarks/*.py; do echo "== $$script" && $(BIN)/python $$script || exit 1; done
