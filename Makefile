# `make demo` and `make test` are all that a newcomer needs; both make .venv and install into it when that is due.
#   make test PYTHON=python3.12                make .venv with another Python
#   make test CONSTRAINTS=.ci/oldest.txt       install the oldest versions that are supported

PYTHON ?= python3
CONSTRAINTS ?=
bin := .venv/bin
offline := HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 CUDA_VISIBLE_DEVICES=

.DEFAULT_GOAL := help
.PHONY: help install demo space test test-fast test-timm check format benchmarks clean

help: ## say what there is
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

install: ## make .venv and install into it, if that is due
	@sh .ci/install.sh "$(PYTHON)" "$(CONSTRAINTS)"

demo: install ## train, test, fuse, localise, save and reload small nets on real digits (about ten minutes)
	@$(offline) $(bin)/python recipes/demo.py --output runs/demo

space: install ## the demo's net as a page for photos, in the browser (after make demo)
	@$(offline) $(bin)/python hub/space/app.py --model runs/demo

test: install ## all tests, offline, on the CPU
	@$(offline) $(bin)/python -m pytest

test-fast: install ## the tests that take no more than a few seconds each
	@$(offline) $(bin)/python -m pytest -m "not slow"

test-timm: install ## timm's own test suite on our nets (fetches timm's source)
	@sh tests/timm_suite/run.sh "$(CURDIR)/$(bin)/python"

check: install ## ruff, mypy, import rules
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports

format: install ## let ruff mend what it can
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

benchmarks: install ## the README's tables of speeds, on this machine (about an hour; pip install '.[benchmarks]')
	@$(bin)/python -m benchmarks.cpu
	@$(bin)/python -m benchmarks.training_step
	@$(bin)/python -m benchmarks.startup

clean: ## remove everything that is not in git, but keep runs/
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist
