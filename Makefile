# Two commands do everything on a fresh Debian or Ubuntu machine:
#   make bench   set up, train, build, run on the emulated Cortex-M4, write reports/latency.csv
#   make test    the same set-up, then every test
# make bench RUNTIME=tflm has TFLite Micro in the firmware: PlatformIO fetches it, or it is in TFLM=DIR.
# Models by core, on every emulated board whose tools are there, in one table (CORE_MODELS="sine ..."):
#   make bench-cores
# For the inner loop, within half a minute:
#   make check   lint, types, and the tests that start no other program
# And one that takes long and needs clang:
#   make fuzz    10^7 lives of a board under libFuzzer, ASan and UBSan; the Python side too

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := gcc-arm-none-eabi libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib \
            qemu-system-arm g++ git util-linux
BOARD ?= qemu-m4
MODEL ?= sine
TRAINED := .hil/artifacts
# TFLM=DIR, a folder with TFLite Micro's sources, asks for the runtime by itself.
TFLM ?=
RUNTIME ?= $(if $(TFLM),tflm)
FROM := $(if $(TFLM),--tflm '$(TFLM)')
FLASHED := $(firstword $(filter-out virtual,$(BOARD)))
# One more than cores: tests wait for deadlines and processes now and then.
WORKERS := $(shell echo $$(($$(nproc) + 1)))
CORES := reports/cores
CORE_MODELS ?= linear sine fashion_dnn fashion_cnn-8
INTERPRETER := tensorflow/lite/micro/micro_interpreter.h

.PHONY: bench bench-cores test check pure lint fuzz setup packages tflm clean help

help:
	@sed -n '1,10s/^# \{0,1\}//p' Makefile

# TFLite Micro is built first: where it cannot be had, nothing is trained in vain.
bench: tflm setup
	$(if $(and $(findstring tflm,$(RUNTIME)),$(FLASHED)),$(BIN)/hil build --board $(FLASHED) --model sine --runtime tflm $(FROM) > /dev/null)
	$(BIN)/hil train $(MODEL) --if-changed --output $(TRAINED)
	$(BIN)/hil bench --board $(BOARD) --model $(TRAINED)/$(MODEL) $(if $(RUNTIME),--runtime $(RUNTIME)) $(FROM)

# The table is there too where a model was wrong on a core, or could not run on it.
bench-cores: tflm setup
	@$(BIN)/hil bench --board all-emulated --swap never --model $(CORE_MODELS) $(if $(RUNTIME),--runtime $(RUNTIME)) $(FROM) \
	    --csv $(CORES)/latency.csv --report $(CORES)/report.html; status=$$?; \
	$(BIN)/hil cores $(CORES)/latency.csv --format csv > $(CORES)/cores.csv && echo $(CORES)/cores.csv && exit $$status

# A wrong folder is said before anything is installed.
tflm:
	@test -z '$(TFLM)' || test -f '$(TFLM)/$(INTERPRETER)' || test -f '$(TFLM)/src/$(INTERPRETER)' || { \
	    echo "TFLM=$(TFLM): no TFLite Micro there, neither it nor its src/ has $(INTERPRETER)." >&2; \
	    echo "Name a PlatformIO or Arduino library of it, or a tree of its sources: docs/tflm.md" >&2; \
	    exit 2; }

# A page is looked at in a browser. Ubuntu has Chromium as a snap only: there the test takes Chrome,
# or is skipped, with its reason, outside CI.
test: setup
	-@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	    .ci/install_packages.sh chromium
	-@.ci/install_packages.sh shellcheck
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Lint beside the tests: without mypy's cache it takes one core for a quarter of a minute.
check: setup
	@$(MAKE) --no-print-directory -j2 lint pure

pure:
	$(BIN)/pytest -q -n logical -m "not program and not hil"

lint:
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

fuzz: setup
	@.ci/install_packages.sh clang libclang-rt-dev
	$(BIN)/python -m benchmarks.link.fuzz

setup: packages $(VENV)/.installed

# Quick when everything is there: one dpkg query, no network.
packages:
	@.ci/install_packages.sh $(PACKAGES)

$(VENV)/.installed: pyproject.toml
	@.ci/make_venv.sh $(PYTHON) $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[train,dev]'
	@touch $@

clean:
	rm -rf $(VENV) .hil reports
