# `make demo` and `make test` set everything up by themselves, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
OUT ?= demo

.PHONY: help demo test test-slow calibrate lint types contracts check clean

help:
	@echo "make demo       train two small models, analyse their traces, draw figures (into $(OUT)/)"
	@echo "make test       run the tests, the linter, the type checker and the import contracts"
	@echo "make test-slow  run the tests that take minutes"
	@echo "make calibrate  simulate how often tests reject and intervals cover, write docs/calibration.md"
	@echo "make clean      remove the environment and all caches"

demo: $(READY)
	$(BIN)/tracekit demo --out $(OUT)

# Two processes of one thread each: most tests wait, for disks and for processes of their own.
test: $(READY) lint types contracts
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

calibrate: $(READY)
	$(BIN)/python benchmarks/calibration

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

contracts: $(READY)
	$(BIN)/lint-imports

check: test test-slow

# The constraints pin a CPU build of torch; left to itself, pip would take the newest with gigabytes of CUDA.
$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,remote,distributed,tables,dev]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
