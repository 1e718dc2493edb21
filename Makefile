# Two commands do it all, set-up included: `make demo` and `make test`. Each part of the tests is a
# target too, and CI calls the same ones. What is built or fetched lies in target, .venv and .work.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON := .venv/bin/python
SANDBOX := tests/harness/sandbox
REPORTS := .work/reports
GANETI ?= 3.0
# pyo3 asks this interpreter; the same for every build, or each would redo the other's.
export PYO3_PYTHON := $(CURDIR)/.venv/bin/python
export CARGO_TARGET_DIR := $(CURDIR)/target
# maturin calls pip, which would list all that is there already.
export PIP_QUIET := 1

RUST := Cargo.toml Cargo.lock clippy.toml pyproject.toml $(shell find src -name '*.rs')
PACKAGE := $(shell find python -name '*.py' -o -name '*.pyi') $(shell find packaging -type f)
# Network, mount and process namespaces of its own: no test sees or changes the machine's.
PYTEST = $(SANDBOX) $(PYTHON) -m pytest --junit-xml=$(REPORTS)/$@
# What a run of every day leaves to `make test-thorough`.
UNDER_3_0 := $(if $(THOROUGH),, and not thorough and not rather_3_1)
UNDER_3_1 := $(if $(THOROUGH),, and not thorough and not rather_3_0)
UNDER_EITHER := $(if $(THOROUGH),, and not thorough)
STAGES := build wheel
TOGETHER := test-system-3.1 test-system-3.0 test-cluster lint-rust test-rust test-faults test-migration \
  test-contract test-system-dev test-native test-inject-sample test-unit lint-python

.PHONY: help demo test test-thorough check setup build wheel lint lint-rust lint-python test-rust test-native \
  test-unit test-contract test-faults test-inject test-inject-sample test-system test-system-3.0 test-system-3.1 \
  test-migration test-encryption test-restless test-system-dev test-upgrade test-matrix cluster-up cluster-shell cluster-down \
  test-cluster test-cluster-matrix test-cluster-upgrade test-cluster-next test-next test-uefi test-cluster-moves test-qa test-soak bench bench-rust fuzz format audit clean \
  wheels deb test-packages test-debian-build

help: ## What there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup ## A real guest through Ganeti and this module, start to end (GANETI=3.1 for that one)
	@$(MAKE) wheel
	@tests/setup/enabled_venv.sh
	@PYTHONPATH=tests $(SANDBOX) .work/enabled/bin/python -m demo --ganeti $(GANETI)

test: setup ## What CI runs, with a summary: every kind of check; 25 minutes
	@tests/setup/cluster_packages.sh
	@MAKE='$(MAKE)' $(PYTHON) tests/harness/check_all.py $(STAGES) --together $(TOGETHER)

test-thorough: ## The same, and what has to be left out of it: all under both Ganetis; an hour
	@$(MAKE) test THOROUGH=1

check: setup lint test-rust test-native test-unit ## What answers in about five minutes: lints, types, Rust, units

setup: ## Debian packages, .venv, a guest, Ganeti 3.1: only what is missing
	@tests/setup/all.sh

build: .work/stamps/build ## The native part, for the tests to import
	@:
.work/stamps/build: $(RUST) .work/stamps/python_venv
	@.venv/bin/maturin develop --release --locked --quiet
	@touch $@

wheel: .work/stamps/wheel ## The wheel, in .work/dist
	@:
.work/stamps/wheel: $(RUST) $(PACKAGE) .work/stamps/python_venv
	@.venv/bin/maturin build --release --locked --quiet --out .work/dist
	@touch $@

wheels: setup ## manylinux2014 wheels for x86-64 and aarch64, in dist
	@tests/setup/cross_tools.sh
	@packaging/wheels.sh dist

deb: wheels ## Debian packages for amd64 and arm64, in dist (for Debian 12 and later)
	@packaging/deb.sh dist dist

.work/stamps/python_venv:
	@tests/setup/all.sh

lint: lint-rust lint-python ## Format and lints of both languages

lint-rust:
	cargo fmt --check
	cargo clippy --locked --quiet --all-targets -- -D warnings
	cargo clippy --locked --quiet --all-targets --features python -- -D warnings

lint-python:
	.venv/bin/ruff format --check --quiet python tests typings
	.venv/bin/ruff check --quiet python tests typings
	.venv/bin/mypy
	git ls-files -z | xargs -0 .venv/bin/typos --format brief --force-exclude

test-rust: ## Rust tests; the core needs no Python
	cargo test --locked --quiet

test-native: build ## The binding between Rust and Python
	$(PYTEST).xml tests/native

test-unit: build ## Python units, under Ganeti 3.0, 3.1 and the development version
	GANETI_UNDER_TEST=3.0 $(PYTEST)-3.0.xml tests/unit
	GANETI_UNDER_TEST=3.1 $(PYTEST)-3.1.xml tests/unit
	GANETI_UNDER_TEST=dev $(PYTEST)-dev.xml tests/unit
	GANETI_UNDER_TEST=next $(PYTEST)-next.xml tests/unit/hv_kvm

test-contract: build wheel ## Ganeti's own suites, and comparisons with the original
	$(PYTEST).xml -m "not long$(UNDER_EITHER)" tests/contract

test-faults: build ## What the originals get wrong, and that ours does not
	$(PYTEST).xml -m "faults$(UNDER_EITHER)" tests/system/test_faults.py

# An operation mostly waits: six at a time are no more than two cores can do.
INJECT = PYTHONPATH=tests $(PYTHON) -m inject.together
test-inject: build ## Each system call of each operation fails once: docs/fault-injection.md (half an hour)
	$(INJECT) --jobs 6 --report docs/fault-injection.md

# A few faults of each operation: three minutes.
test-inject-sample: build
	$(INJECT) --most 4 --junit $(REPORTS)/$@.xml

test-system: test-system-3.0 test-system-3.1 test-migration test-system-dev ## Real QEMU, TAPs, processes, under each Ganeti

# Each with the QEMU of its own Debian for hot-plug. What chooses its Ganeti itself runs once, and
# so does what only QEMU has a say in: tests/system says so by markers.
test-system-3.0: build wheel
	GANETI_UNDER_TEST=3.0 $(PYTEST).xml -m "not only_3_1 and not migration and not faults and not long$(UNDER_3_0)" tests/system
# Guests that go from one node to another; under 3.1 as part of the other tests.
test-migration: build
	GANETI_UNDER_TEST=3.0 $(PYTEST).xml -m "not long$(UNDER_3_0)" tests/system/migration
test-encryption: build ## Encrypted migration, each way of it, on QEMU 7.2 and 10; 4 minutes
	ENCRYPTION=all GANETI_UNDER_TEST=3.0 $(PYTEST).xml tests/system/migration/test_encrypted.py \
	  tests/system/migration/test_migration_keys.py
test-restless: build ## Guests that write faster than they are sent: the figures of docs/migration.md; 20 minutes
	RESTLESS=all GANETI_UNDER_TEST=3.0 $(PYTEST).xml -s tests/system/migration/test_restless.py
test-system-3.1: build
	GANETI_UNDER_TEST=3.1 $(PYTEST).xml -m "not only_3_0 and not faults and not long$(UNDER_3_1)" tests/system
# What upstream's development version alone asks for, and hot-plug with its scripts and places.
test-system-dev: build
	GANETI_UNDER_TEST=dev $(PYTEST).xml -m "not long$(UNDER_EITHER)" tests/system/development tests/system/hotplug/test_devices.py
	GANETI_UNDER_TEST=next $(PYTEST)-next.xml -m "not long$(UNDER_EITHER)" tests/system/next
	GANETI_UNDER_TEST=unknown $(PYTEST)-unknown.xml tests/system/unknown_parameter

test-next: build ## Tomorrow's Ganeti whole: UEFI, growth, migrations that end, on QEMU 7.2 and 10; 12 minutes
	@tests/setup/guest_agent.sh
	GANETI_UNDER_TEST=next $(PYTEST).xml tests/system/next

test-uefi: build ## UEFI by tag, on Ganeti 3.0 and QEMU 7.2, and on 3.1 and 10: guests boot, reboot, move; 5 minutes
	GANETI_UNDER_TEST=3.0 $(PYTEST)-3.0.xml $(UEFI)
	GANETI_UNDER_TEST=3.1 $(PYTEST)-3.1.xml $(UEFI)
UEFI := $(addprefix tests/system/options/test_uefi,.py _disk.py)

# What the guests of a cluster go through from Debian 12 to 13; `make test` has some of each.
test-upgrade: build ## 40 guests from Ganeti 3.0 and QEMU 7.2 to 3.1 and QEMU 10, and back; 20 minutes
	UPGRADE=all GANETI_UNDER_TEST=3.1 $(PYTEST).xml tests/system/upgrade

test-matrix: build ## Parameters pairwise, cold under each Ganeti and QEMU, beside the original
	PYTHONPATH=tests $(SANDBOX) $(PYTHON) -m matrix

SOAK_CYCLES ?= 1000
test-soak: build ## A thousand guests in one process (SOAK_CYCLES): nothing may grow; 10 minutes and more
	GANETI_UNDER_TEST=$(GANETI) SOAK_CYCLES=$(SOAK_CYCLES) $(PYTEST).xml -s tests/system/soak

# A real two-node Ganeti in namespaces; CLUSTER_ROW and CLUSTER_MODULES choose what it is made of.
CLUSTER = PYTHONPATH=tests $(PYTHON) -m cluster.harness
cluster-up: setup ## A two-node Ganeti cluster on this machine, to try by hand
	@tests/setup/cluster_packages.sh
	@$(MAKE) wheel
	@$(CLUSTER) up

cluster-shell: ## A shell in a node: make cluster-shell NODE=n1 (or n2)
	@$(CLUSTER) shell $(NODE)
NODE ?= $(or $(filter n1 n2,$(MAKECMDGOALS)),n1)
ifneq ($(filter cluster-shell,$(MAKECMDGOALS)),)
.PHONY: n1 n2
n1 n2: ; @:
endif

cluster-down: ## Ends the cluster, and looks for leftovers
	@$(CLUSTER) down

# The machine itself is compared before and after: namespaces must leave nothing.
OUTSIDE = PYTHONPATH=tests $(PYTHON) -m cluster.harness.outside
test-cluster: setup ## The life of an instance and the main faults on that cluster
	@tests/setup/cluster_packages.sh
	@$(MAKE) wheel
	@mkdir -p $(REPORTS)
	CLUSTER_RESULTS=$(REPORTS)/$@.json $(OUTSIDE) $(PYTHON) -m pytest -m "core and not long$(UNDER_EITHER)" \
	  --junit-xml=$(REPORTS)/$@.xml tests/cluster

# A cluster of Debian 12 with running guests; ours is enabled before, during and after.
test-cluster-upgrade: setup ## `gnt-cluster upgrade` to 3.1, and back, with running guests; 20 minutes
	@tests/setup/cluster_packages.sh
	@tests/setup/cluster_system.sh backports
	@$(MAKE) wheel
	@mkdir -p $(REPORTS)
	@for when in before during after; do \
	  modules=original; [ $$when != before ] || modules=ours; \
	  CLUSTER_UPGRADE=$$when CLUSTER_MODULES=$$modules CLUSTER_RESULTS=$(REPORTS)/$@-$$when.json \
	    $(OUTSIDE) $(PYTHON) -m pytest --junit-xml=$(REPORTS)/$@-$$when.xml tests/cluster/test_upgrade.py; \
	done

# Ganeti 3.1 with what upstream is known to add, and a parameter that nobody knows.
test-cluster-next: setup build ## Tomorrow's Ganeti: IOThreads, UEFI, an unknown parameter on a cluster; 11 minutes
	@tests/setup/cluster_packages.sh
	@tests/setup/cluster_system.sh backports
	@$(MAKE) wheel
	@mkdir -p $(REPORTS)
	CLUSTER_ROW=next CLUSTER_RESULTS=$(REPORTS)/$@.json $(OUTSIDE) $(PYTHON) -m pytest \
	  --junit-xml=$(REPORTS)/$@.xml tests/cluster/test_next.py tests/cluster/test_next_policies.py

# Encrypted and bounded migrations, both modules in one cluster, UEFI by tag.
test-cluster-moves: setup ## Encrypted, bounded and mixed migrations, UEFI by tag, on Ganeti 3.0 and 3.1; 16 minutes
	@tests/setup/cluster_packages.sh
	@tests/setup/cluster_system.sh backports
	@$(MAKE) wheel
	@mkdir -p $(REPORTS)
	@for row in debian12 backports; do \
	  CLUSTER_ROW=$$row CLUSTER_RESULTS=$(REPORTS)/$@-$$row.json $(OUTSIDE) $(PYTHON) -m pytest \
	    --junit-xml=$(REPORTS)/$@-$$row.xml $(MOVES); \
	done
MOVES := $(addprefix tests/cluster/test_,migration_settings.py mixed.py uefi.py)

CLUSTER_ROWS ?= debian12,backports,debian13,unstable
CLUSTER_JOBS ?= 2
test-cluster-matrix: setup ## All steps, ours and the original, on each Debian: docs/cluster-report.md
	@tests/setup/cluster_packages.sh
	@$(MAKE) wheel
	PYTHONPATH=tests $(PYTHON) -m cluster.harness.matrix --rows=$(CLUSTER_ROWS) --jobs=$(CLUSTER_JOBS) \
	  docs/cluster-report.md

QA_ROWS ?= debian12
test-qa: setup ## Ganeti's own QA on that cluster, the original as control: docs/qa-report.md
	@tests/setup/cluster_packages.sh
	@$(MAKE) wheel
	PYTHONPATH=tests $(PYTHON) -m cluster.qa --rows=$(QA_ROWS) --jobs=$(CLUSTER_JOBS) docs/qa-report.md

# As long as it takes to make the trees of Debian that are missing, and then some minutes.
test-packages: setup ## The packages: built twice, in Debian 12, 13, unstable, from 12 to 13, and on arm64
	@tests/setup/upgrade_system.sh
	@tests/setup/cluster_system.sh debian13
	@tests/setup/cluster_system.sh unstable
	@tests/setup/cross_tools.sh
	@tests/setup/arm64_python.sh
	@packaging/wheels.sh .work/wheels
	@packaging/deb.sh .work/wheels .work/debs
	PYTHONPATH=tests $(PYTHON) -m pytest --timeout 1800 --junit-xml=$(REPORTS)/$@.xml tests/packages

test-debian-build: .work/stamps/python_venv ## The sdist, built by Debian 13's own rustc and maturin, without a network
	@tests/packages/build_with_debian.sh

# One after the other, on a machine that does nothing else: BENCH="wire listing" for a part of it.
bench: build ## Speed, against Ganeti's originals and other clients (BENCH=--publish: into docs)
	@tests/setup/bench_venv.sh
	@PYTHONPATH=tests:python $(SANDBOX) .work/bench-venv/bin/python -m bench $(BENCH)

bench-rust: ## Speed: codec, session and fleet alone, without Python
	cargo bench --locked --quiet

# libFuzzer needs a nightly toolchain; the product and `make test`, which runs the same functions for
# a short while (tests/rust/fuzz.rs), do not. Seeds are recordings of a real QEMU.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= codec message process session
CARGO_FUZZ := .work/cargo-fuzz/bin/cargo-fuzz
$(CARGO_FUZZ):
	cargo install --quiet --locked --root .work/cargo-fuzz cargo-fuzz

fuzz: ## Fuzzes parsers and session, FUZZ_SECONDS each (60)
	@cargo +nightly --version >/dev/null || \
	  { echo "needs a nightly toolchain: rustup toolchain install nightly --profile minimal" >&2; exit 1; }
	@$(MAKE) $(CARGO_FUZZ)
	@for target in $(FUZZ_TARGETS); do \
	  mkdir -p fuzz/corpus/$$target; \
	  echo "$$target, $(FUZZ_SECONDS) s"; \
	  PATH=$(CURDIR)/.work/cargo-fuzz/bin:$$PATH CARGO_TARGET_DIR=$(CURDIR)/fuzz/target \
	    cargo +nightly fuzz run $$target fuzz/corpus/$$target \
	    $(wildcard tests/data/qmp/*/) -- -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=10 \
	    -verbosity=0 -print_final_stats=1; \
	done

format: ## Formats both languages
	cargo fmt
	.venv/bin/ruff format python tests
	.venv/bin/ruff check --fix python tests

audit: .work/stamps/python_venv ## Licences, notices, sources and doubles of the Rust dependencies
	@command -v cargo-deny >/dev/null || cargo install --locked cargo-deny
	cargo deny --all-features check licenses bans sources
	@$(PYTHON) packaging/notices.py --check

clean: ## Removes all that was built or fetched
	rm -rf target .venv .work dist python/ganeti_hv_kvm/*.so
	find python tests -name __pycache__ -prune -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
