# Every target sets itself up: a virtual environment in .venv, made with any Python >= 3.11.
# On a laptop without a GPU, take the small CPU build of PyTorch:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
VENV := .venv
MODULE := $(VENV)/bin/python -m
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	"$$p" -c '$(NEW_ENOUGH)' 2>/dev/null && echo "$$p" && break; done)
INSTALL := $(MODULE) pip install --quiet --disable-pip-version-check -c constraints.txt -e

.PHONY: help setup demo test test-slow test-gpu test-sanitize lint audit bench drills drills-long \
	readme tasks pretrained docs dist

help:
	@echo "make demo       train a small RMC and a small LSTM and compare them (one to two minutes)"
	@echo "make test       the test suite          make test-slow   slow tests"
	@echo "make lint       ruff and mypy           make test-gpu    tests that need a CUDA device"
	@echo "make test-sanitize   the native core under the compiler's sanitizers"
	@echo "make bench      time the cores          make setup       only create the environment"
	@echo "make docs       the site of the pages, in build/docs/"
	@echo "make dist       wheel and sdist, in dist/, and what a package index would say about them"
	@echo "make audit      known vulnerabilities of the pinned packages (needs a network)"
	@echo "make drills     kill, damage and fuzz   make drills-long   the same for hours"
	@echo "make tasks      train the small models of results/tasks again (hours)"
	@echo "make readme     fill the tables of README.md and docs/ from results/"
	@echo "make pretrained RUN=run NAME=name [DATA=folder]   make a shipped model from a run"
	@echo "Afterwards: source $(VENV)/bin/activate puts rrnn on the PATH"

setup: $(VENV)/.developer
	-$(VENV)/bin/rrnn build

demo: $(VENV)/.user
	$(VENV)/bin/rrnn demo

test: $(VENV)/.developer
	OMP_NUM_THREADS=1 $(MODULE) pytest -n 2

test-slow: $(VENV)/.developer
	$(MODULE) pytest -m "slow and not gpu" --timeout 1800

test-gpu: $(VENV)/.developer
	$(MODULE) pytest -m gpu

# The native core with GCC's address and undefined-behaviour sanitizers.
SANITIZED := RRNN_NATIVE_FLAGS="-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all"
SANITIZERS := libasan.so libubsan.so libstdc++.so

test-sanitize: $(VENV)/.developer
	CXX=g++ $(SANITIZED) $(VENV)/bin/rrnn build
	CXX=g++ $(SANITIZED) ASAN_OPTIONS=detect_leaks=0 \
		LD_PRELOAD="$(foreach l,$(SANITIZERS),$$(g++ -print-file-name=$(l)))" \
		$(MODULE) pytest tests/ops/relational_memory/test_native.py

lint: $(VENV)/.developer
	$(MODULE) ruff check .
	$(MODULE) ruff format --check .
	$(MODULE) mypy
	@find src tests drills -name '*.py' -exec awk 'END { if (NR > 500) print "note: " FILENAME " has " NR " lines: is it still one idea?" }' {} \;

docs: $(VENV)/.developer
	rm -rf build/docs
	$(MODULE) sphinx --quiet --fail-on-warning --keep-going --conf-dir docs . build/docs
	$(VENV)/bin/python docs/check_links.py build/docs
	@echo "build/docs/index.html"

# The tools of a release have an environment of their own: what they need is none of ours.
RELEASE_TOOLS := build==1.6.1 twine==7.0.0

dist: $(VENV)/.created
	@test -x $(VENV)/release/bin/twine || { "$(PYTHON)" -m venv --clear $(VENV)/release && \
		$(VENV)/release/bin/pip install --quiet --disable-pip-version-check $(RELEASE_TOOLS); }
	rm -rf dist
	$(VENV)/release/bin/python -m build --outdir dist .
	$(VENV)/release/bin/twine check --strict dist/*

# pip-audit has an environment of its own: what it needs is none of ours.
audit: $(VENV)/.created
	@test -x $(VENV)/audit/bin/pip-audit || { "$(PYTHON)" -m venv --clear $(VENV)/audit && \
		$(VENV)/audit/bin/pip install --quiet --disable-pip-version-check pip-audit; }
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

bench: $(VENV)/.user
	$(VENV)/bin/rrnn bench

drills: $(VENV)/.developer
	$(MODULE) drills

drills-long: $(VENV)/.developer
	$(MODULE) drills --round long

# Three seeds of every small task model; a run that has its result already is left alone.
TASK_CONFIGS := cpu-copy cpu-reverse cpu-double cpu-addition cpu-nth-farthest cpu-nth-farthest-lstm \
	cpu-nth-farthest-lstm-maximum
TASK_RUNS := $(foreach c,$(TASK_CONFIGS),$(foreach s,1 2 3,results/tasks/$(c)-$(s)/summary.json))
# Each task at the paper's size, with a second seed where that takes less than an hour of CPU time.
PAPER_CONFIGS := cpu-nth-farthest-paper cpu-addition-paper cpu-control-paper cpu-program-paper \
	cpu-copy-paper cpu-reverse-paper cpu-double-paper
PAPER_RUNS := $(foreach c,$(PAPER_CONFIGS),results/tasks/$(c)-1/summary.json) \
	$(foreach c,addition program copy reverse double,results/tasks/cpu-$(c)-paper-2/summary.json)
runs-of = $(dir $(filter $(foreach c,$(1),results/tasks/cpu-$(c)%),$(TASK_RUNS)))
paper-runs-of = $(dir $(filter $(foreach c,$(1),results/tasks/cpu-$(c)-paper-%),$(PAPER_RUNS)))

tasks: $(TASK_RUNS) $(PAPER_RUNS)
	$(VENV)/bin/rrnn report $(call runs-of,nth-farthest) --output results/tasks/nth-farthest
	$(VENV)/bin/rrnn report $(call runs-of,copy reverse double) --output results/tasks/memorization
	$(VENV)/bin/rrnn report $(call runs-of,addition) --output results/tasks/programs
	$(VENV)/bin/rrnn report $(call paper-runs-of,nth-farthest) --output results/tasks/nth-farthest-paper
	$(VENV)/bin/rrnn report $(call paper-runs-of,addition control program) --output results/tasks/programs-paper
	$(VENV)/bin/rrnn report $(call paper-runs-of,copy reverse double) --output results/tasks/memorization-paper

results/tasks/%/summary.json: | $(VENV)/.user
	name=$*; test -d runs/$* || $(VENV)/bin/rrnn train $${name%-?} --seed $${name##*-} --run $*
	test -f runs/$*/summary.json || $(VENV)/bin/rrnn train --resume $*
	mkdir -p $(@D) && cp runs/$*/config.yaml runs/$*/metrics.csv runs/$*/summary.json $(@D)

readme: $(VENV)/.user
	$(MODULE) relational_rnn.report.readme_tables README.md docs/*.md

pretrained: $(VENV)/.user
	$(MODULE) relational_rnn.pretrained $(RUN) $(NAME) $(if $(DATA),--data "$(DATA)")

# The stamps keep set-up from being repeated until what it reads has changed.
$(VENV)/.user: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "Installing into $(VENV): a few minutes, once"
	$(INSTALL) ".[show]"
	@touch $@

$(VENV)/.developer: pyproject.toml constraints.txt | $(VENV)/.created
	@echo "Installing into $(VENV): a few minutes, once"
	$(INSTALL) ".[dev,docs,tensorboard,tune,data,gpu,onnx,show,transformers]"
	@touch $(VENV)/.user $@

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(MODULE) pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear $(VENV)
	@touch $@
