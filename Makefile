# `make demo` and `make test` are all that a newcomer needs; both make .venv and install into it when that is due.
#   make test PYTHON=python3.12                make .venv with another Python
#   make test CONSTRAINTS=.ci/oldest.txt       install the oldest versions that are supported

PYTHON ?= python3
CONSTRAINTS ?=
MINUTES ?= 10
bin := .venv/bin
offline := HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 CUDA_VISIBLE_DEVICES=
# Each worker of the tests, and what it starts, computes in one thread.
tests := $(offline) OMP_NUM_THREADS=1 $(bin)/python -m pytest --numprocesses 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install demo tour space test test-fast test-timm soak check docs format benchmarks clean

help: ## say what there is
	@grep -E '^[a-z-]+:.*## ' Makefile | sed 's/:.*## /\t/' | expand -t 14

install: ## make .venv and install into it, if that is due
	@sh .ci/install.sh "$(PYTHON)" "$(CONSTRAINTS)"

demo: install ## train a small net on real digits, test it, load it with timm (about two minutes)
	@$(offline) $(bin)/python recipes/demo/demo.py --output runs/demo

tour: install ## what else there is: crops, fusion, SVMs, localisation, a repository (after make demo)
	@$(offline) $(bin)/python recipes/demo/tour.py --model runs/demo/net --output runs/tour

space: install ## the demo's net as a page for photos, in the browser (after make demo)
	@$(offline) $(bin)/python hub/space/app.py --model runs/demo/net

test: install ## all tests, offline, on the CPU
	@$(tests) --durations 20

test-fast: install ## the tests that take no more than a second or two each
	@$(tests) -m "not slow"

soak: install ## kill, stop and suspend jobs at random for MINUTES (10); read 10,000 damaged files instead of 2,000
	@$(offline) OMP_NUM_THREADS=1 $(bin)/python -m tests.soak --minutes $(MINUTES)
	@$(tests) -k test_damaged_files --damaged-files 10000

test-timm: install ## timm's own test suite on our nets (fetches timm's source)
	@sh tests/timm_suite/run.sh "$(CURDIR)/$(bin)/python"

check: install ## ruff, mypy, import rules, spelling
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/mypy
	@$(bin)/lint-imports
	@$(bin)/codespell

docs: install ## the pages as a site, in site/; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(bin)/python -m mkdocs build --strict

format: install ## let ruff mend what it can
	@$(bin)/ruff check --fix .
	@$(bin)/ruff format .

benchmarks: install ## the README's tables of speeds, on this machine (some hours; pip install '.[benchmarks]')
	@$(bin)/python -m benchmarks.cpu
	@$(bin)/python -m benchmarks.training_step
	@$(bin)/python -m benchmarks.startup

clean: ## remove everything that is not in git, but keep runs/
	rm -rf .venv .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist site
