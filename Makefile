# make demo [IMAGES=folder]   install, then the whole idea on real images
# make test                   the tests (five to eleven minutes on two cores)
# make test-bare              some of them as on a machine without bfloat16, and without OpenVINO, Ray and UMAP
# make test-lowest            some of them on the lowest versions that pyproject.toml allows, in .venv-lowest (four minutes)
# make test-slow              the long ones, in two processes where there are two cores; with FRIEZE_DATA=folder also those on real data
# make mutants                which small changes of the code does no test notice? (six minutes; drawn by the commit)
# make check                  format, lint, types, generated docs
# make site                   the documentation as a site, in site/
# make bench FRIEZE_DATA=...  runs the benchmarks (BENCHMARKS="startup heads.solver": these) and writes docs/benchmarks.md's tables

FITS := import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
BENCHMARKS ?= embedding.accuracy embedding.builtin_backbone heads.solver heads.calibration heads.memory heads.label_errors heads.label_noise heads.teaching heads.multilabel \
  heads.finetuning embedding.throughput embedding.one_pass embedding.compare_backbones embedding.views embedding.feeding gpu startup kept_graph embedding.scale embedding.source_formats search.filtered search.duplicates search.duplicate_edits \
  web embedding.ray_cluster search.run
SHELL := /bin/bash
# The tests write files of any name, whatever the locale says of names.
export PYTHONUTF8 := 1
# Processes of the tests, two where there are two cores; 0 for none beside pytest itself.
WORKERS ?= $(shell python3 -c "import os; n = min(2, len(os.sched_getaffinity(0))); print(n if n > 1 else 0)" 2>/dev/null || echo 0)
# Without this, the tests' several hundred Pythons would compile Frieze anew each.
unexport PYTHONDONTWRITEBYTECODE
# Small matrices gain nothing by more threads, and those that wait spin.
test test-bare test-lowest test-slow: export OPENBLAS_NUM_THREADS ?= 1
PYTEST = $(BIN)/python -m pytest --no-loadscope-reorder
BARE := tests/embedder/engines tests/embedder/job/test_engine_choice.py tests/embedder/job/test_select_engine.py
# Of every library something: TensorFlow, Hub, Keras, OpenVINO, FAISS, pyarrow, Pillow, scikit-learn, skops, sqlglot, click.
LOWEST := tests/features/test_golden.py tests/features/test_reader.py tests/features/importers/test_parquet.py::test_reading_begins_at_any_row tests/index/filters \
  tests/index/faiss_layer tests/classifiers/storage tests/classifiers/kinds tests/frieze/core/test_lazy_imports.py \
  tests/embedder/backbones/test_builtin.py tests/embedder/backbones/test_keras_file.py tests/embedder/backbones/test_onnx_file.py \
  tests/embedder/images/test_decode.py tests/frieze/cli/test_without_tensorflow.py tests/frieze/api/test_export.py tests/frieze/api/exports/test_csv_file.py
LOWEST_TOOLS := 'pytest>=9.2' 'hypothesis>=6.170' 'duckdb>=2.0' 'pandas>=2.2' 'polars>=1.20' 'moto[server]>=5.2' 'onnx>=1.19' 'tokenizers>=0.22' \
  'ipykernel>=6.29' 'nbclient>=0.10'

.PHONY: demo test test-bare test-lowest test-slow mutants check format docs site bench clean

demo: .venv/installed
	@$(BIN)/python examples/demo.py $(IMAGES)

test: .venv/installed-dev
	$(PYTEST) -n $(WORKERS)

test-bare: .venv/installed-dev
	FRIEZE_WITHOUT=bfloat16 $(PYTEST) -n $(WORKERS) -q $(BARE)
	FRIEZE_WITHOUT="openvino ray umap" $(PYTEST) -n $(WORKERS) -q $(BARE) tests/frieze/api/test_map.py

test-lowest: .venv-lowest/installed
	.venv-lowest/bin/python -m pytest -q -p no:cacheprovider $(LOWEST)
	.venv-lowest/bin/python -m pytest -q -p no:cacheprovider -m slow tests/test_notebook.py

test-slow: .venv/installed-distill
	$(PYTEST) -n $(WORKERS) -m slow --durations=20

mutants: .venv/installed-dev
	$(BIN)/python -m tools.mutation

check: .venv/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python docs/make_commands.py --check

format: .venv/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: .venv/installed-dev
	$(BIN)/python docs/make_commands.py

site: .venv/installed-dev
	$(BIN)/mkdocs build --strict --quiet

bench: .venv/installed-dev
	@for name in $(BENCHMARKS); do \
	  set -o pipefail; $(BIN)/python -m benchmarks.$$name | $(BIN)/python -m benchmarks.update_docs || exit 1; done

clean:
	rm -rf .venv .venv-lowest demo-out build dist site

.venv/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "Frieze needs Python 3.11 to 3.13 with venv. On Debian or Ubuntu: apt install python3 python3-venv" >&2; exit 1; fi
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml | .venv/bin/python
	@echo "Installing Frieze and what it needs (TensorFlow is large: the first time takes a few minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[duplicates,web]'
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/python
	@echo "Installing Frieze with the tools for its tests ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ .venv/installed

# Direct dependencies at their lower bounds; setuptools is one that has no pkg_resources any more.
.venv-lowest/installed: pyproject.toml | .venv/bin/python
	@echo "Installing the lowest versions ..."
	@$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/python -m uv venv --quiet --clear --python $(BIN)/python .venv-lowest
	@$(BIN)/python -m uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct \
	  --editable '.[duplicates,web]' 'setuptools>=82' $(LOWEST_TOOLS)
	@touch $@

.venv/installed-distill: .venv/installed-dev
	@echo "Installing PyTorch, which trains the built-in backbone ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,distill]'
	@touch $@
