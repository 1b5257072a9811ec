# `make help` lists the targets. Everything is installed by setup/, once.
PY := .venv/bin/python
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup wheel demo test test-unit test-long lint bench clean lock test-machines test-pythons bench-machines

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|' 2>/dev/null || grep '## ' Makefile

setup:  ## install what tests need: system packages, virtual environment, data plane
	@setup/setup.sh test

wheel:  ## build dist/shunt-*.whl, for `pip install` on the dispatcher
	@setup/setup.sh wheel
	@$(BIN)/pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w dist .
	@ls dist/shunt-*.whl

demo:  ## install what is missing and show the main job on real traffic
	@setup/setup.sh demo
	@$(BIN)/shunt demo

test: setup lint  ## lint, then every test (root: network namespaces, BPF)
	@$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile -m "not machines and not long"

test-unit: setup  ## the tests that need no root
	@$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile -m "not root and not lab and not bpf and not machines and not long"

test-long: setup  ## searches, storms and random histories of flows that take hours
	@$(BIN)/pytest -o timeout=86400 -n auto --maxprocesses 4 --dist load -m long

test-pythons:  ## the unit tests on each Python from 3.11 on that is found here
	@setup/test-pythons.sh

test-oldest:  ## boot the oldest kernel that is promised, under emulation, and dispatch there (minutes)
	@setup/setup.sh machines
	@$(BIN)/pytest "tests/machines/test_dispatcher.py::test_a_day_of_a_dispatcher[6.1]"

test-machines:  ## boot real machines under emulation and reboot them (minutes)
	@setup/setup.sh machines
	@$(BIN)/pytest -m machines

lint: setup  ## ruff, mypy --strict, clang-format, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/clang-format --dry-run --Werror bpf/*.c bpf/*.h

bench: setup  ## run the benchmarks and write docs/performance.md
	@$(PY) -m bench

bench-machines:  ## count instructions of a packet in an emulated machine, beside IPVS and DNAT
	@setup/setup.sh machines
	@$(PY) -m bench machines

lock:  ## renew the locked Python dependencies (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header -q pyproject.toml -o setup/runtime.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header -q --group build -o setup/build.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header -q pyproject.toml --group dev -o setup/dev.txt

clean:  ## remove what was built here (laboratories left standing: shunt lab down)
	@rm -rf .venv dist .cache .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache src/shunt/dataplane/*.bpf.o
