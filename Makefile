# codesign: set up, demonstrate, test, measure. Needs Python 3.11 or later, make and g++.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEMO   := build/demo
# What a design is made by: not what simulates it.
SOURCES := $(shell find codesign boards -path codesign/simulation -prune -o -path codesign/codegen -prune \
	-o -name '*.py' -print -o -name '*.yaml' -print)
EVERYTHING := $(shell find codesign hls_templates sim boards -type f -not -path '*/__pycache__/*')

.PHONY: help setup demo test bench clean

help:
	@echo "make setup   install into $(VENV), pinned versions"
	@echo "make demo    the main job on the embedded default; results in $(DEMO)"
	@echo "make test    lint, types and tests"
	@echo "make bench   speed, as ratios measured in one run"

setup: $(STAMP)

# The stamp is the last thing written: an interrupted installation is done again.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("codesign needs Python 3.11 or later, $(PYTHON) is " + sys.version.split()[0]) if sys.version_info < (3, 11) else 0'
	@echo "Installing into $(VENV): some minutes the first time (PyTorch is large)."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[sim,synth,dev]'
	@touch $@

demo: $(STAMP) $(DEMO)/plan/plan.png $(DEMO)/hls/manifest.json $(DEMO)/prune/design/sim.json
	@echo
	@$(BIN)/codesign report $(DEMO)/prune/design --output-dir $(DEMO)/report --overwrite
	@echo
	@echo "The plan is in $(DEMO)/plan, the pruned model in $(DEMO)/prune, its integer design in $(DEMO)/prune/design,"
	@echo "the Vitis HLS project in $(DEMO)/hls. Look at $(DEMO)/report/report.html first."
	@echo "This was a small model on a made-up task; for a real one: $(BIN)/codesign prune --help, README.md."

$(DEMO)/plan/plan.png: $(STAMP) $(SOURCES)
	@echo "Which array? Some seconds, longer where the machine has other work:"
	$(BIN)/codesign plan --board boards/zcu104.yaml --compression 2 --output-dir $(DEMO)/plan --overwrite

$(DEMO)/prune/design/design.yaml: $(DEMO)/plan/plan.png
	@echo
	@echo "A small BERT is trained, pruned in blocks of that array and made integer: one or two minutes on two idle"
	@echo "cores, longer where they have other work (it says after each epoch how far it is):"
	$(BIN)/codesign prune --board boards/zcu104.yaml --plan $(DEMO)/plan --output-dir $(DEMO)/prune --overwrite

# The hardware is made and simulated again when anything of the project changes.
$(DEMO)/hls/manifest.json: $(DEMO)/prune/design/design.yaml $(EVERYTHING)
	@echo
	@echo "The design as a Vitis HLS project, in a few seconds:"
	$(BIN)/codesign gen-hls $(DEMO)/prune/design --output-dir $(DEMO)/hls --force

$(DEMO)/prune/design/sim.json: $(DEMO)/prune/design/design.yaml $(EVERYTHING)
	@echo
	@echo "A sentence whole through the design's hardware in simulation, bit for bit and cycle for cycle; building the"
	@echo "simulators takes about a minute the first time:"
	$(BIN)/codesign simulate $(DEMO)/prune/design --work-dir build/sim

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto  # a worker for each core: more threads would wait for each other

bench: $(STAMP)
	$(BIN)/python -m benchmarks.planner
	$(BIN)/python -m benchmarks.penalty
	$(BIN)/python -m benchmarks.attention
	$(BIN)/python -m benchmarks.packing
	$(BIN)/python -m benchmarks.hls

clean:
	rm -rf build .mypy_cache .pytest_cache .ruff_cache .hypothesis
