# Two commands do everything, set-up included: `make demo` and `make test`.
# Needed beforehand: make and a Python of at least 3.11 (choose another with PYTHON=python3.12).

PYTHON ?= python3
# First and alone: left open, pip picks a build of several GB on some machines.
TORCH ?= torch==2.13.0
WORKERS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export OMP_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.PHONY: help demo test lint format codes test-templates test-extras samples bench chaos mutants everyfile grammar corpus clean

help:  ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "torchlift needs Python 3.11 or newer; '$(PYTHON)' is older or missing. Try: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { echo '$(PYTHON) -m venv $(VENV)'; $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet '$(TORCH)' -c constraints.txt
	$(BIN)/python -m pip install --quiet -e '.[test]' -c constraints.txt
	@touch $@

demo: $(STAMP)  ## Convert a sample that trains on real data, run it before and after, print the verdict
	@$(BIN)/python samples/demo.py

test: lint  ## Lint, type-check and run the whole test suite
	$(BIN)/python -m pytest -n $(WORKERS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet . || { echo "Run 'make format' for the files above." >&2; exit 1; }
	$(BIN)/mypy

format: $(STAMP)  ## Sort imports and format our own code
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

test-templates: $(STAMP)  ## Render every project template and run each project's own tests
	$(BIN)/python -m pytest tests/templates

samples: $(STAMP)  ## Write the converted twin of every sample again, and docs/gallery.md
	@status=0; for script in samples/*/train.py; do \
		$(BIN)/torchlift convert --force --quiet "$$script" || status=1; done; \
		$(BIN)/python samples/gallery.py || status=1; exit $$status

codes: $(STAMP)  ## Write docs/codes.md again, from the pages of the converter's codes
	$(BIN)/python -m torchlift_convert explain --format markdown > docs/codes.md

bench: $(STAMP)  ## Measure speed, as ratios to a bare loop; fails when a limit is broken
	@status=0; for bench in tests/benchmarks/bench_*.py; do $(BIN)/python "$$bench" || status=1; done; exit $$status

# A failure of one does not keep the others from running.
test-extras: $(STAMP)  ## The slow rest: chaos, mutants, grammar, templates, the whole of every sample
	@status=0; for target in chaos mutants everyfile grammar test-templates; do $(MAKE) --no-print-directory $$target || status=1; done; \
		$(BIN)/python -m pytest tests/e2e/test_samples.py || status=1; exit $$status

chaos: $(STAMP)  ## Kill training at any moment; nothing may be lost: make chaos [KILLS=200] [SEED=0]
	$(BIN)/python tests/chaos/run.py $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

mutants: $(STAMP)  ## Test the tester: verify has to catch every wrong twin
	$(BIN)/python tests/mutants/run.py

grammar: $(STAMP)  ## Convert scripts that a grammar makes up: make grammar [EXAMPLES=2000] [SEED=0]
	TORCHLIFT_GRAMMAR_EXAMPLES=$(or $(EXAMPLES),400) TORCHLIFT_GRAMMAR_SEED=$(or $(SEED),1) \
		$(BIN)/python -m pytest -n $(WORKERS) tests/converter/grammar

everyfile: $(STAMP)  ## Convert every file of the standard library and of all packages; none may crash the converter
	$(BIN)/python tests/everyfile/run.py

# CORPUS holds the harness (compare.py and its manifest), SRC the checked-out scripts; neither is part of this repository.
corpus: $(STAMP)  ## Measure the converter on public scripts: make corpus CORPUS=<dir> SRC=<dir> [ONLY='ex-*']
	@test -n "$(CORPUS)" -a -n "$(SRC)" || \
		{ echo "Say where the corpus lies: make corpus CORPUS=<folder of compare.py> SRC=<folder of the scripts>" >&2; exit 2; }
	$(BIN)/python tests/corpus/run.py --corpus "$(CORPUS)" --src "$(SRC)" --work out/corpus $(if $(ONLY),--only '$(ONLY)')

clean:  ## Remove what the commands made, .venv included
	rm -rf $(VENV) build dist out .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
