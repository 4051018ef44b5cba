# What one does with Parlance. `make` alone lists it.
# The work is in scripts/, so that each step can also be run by hand.

.DEFAULT_GOAL := help
.PHONY: help demo run test bench faults fmt lint setup

help: ## List these commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /\1\t/' | expand -t 10

demo: ## Play a whole booking call from WAV files through a fresh engine, then stop it
	@scripts/demo.sh

run: ## Leave an engine with the demo agent running until Ctrl-C
	@scripts/run.sh

test: ## Everything that must be green: formats, lints, licences, tests
	@scripts/test.sh

bench: ## Load figures, then turns against stand-ins of vendors. BENCH="--calls 10 --json" for others
	@scripts/setup.sh demo
	@cargo build --locked --release --workspace --bins
	@"$${CARGO_TARGET_DIR:-target}/release/load" $(BENCH)
	@"$${CARGO_TARGET_DIR:-target}/release/load" --stand-ins $(BENCH)

faults: ## Each fault of a provider in mid-call: silence, words lost and doubled. FAULTS="--kind voice" for some
	@scripts/setup.sh demo
	@cargo build --locked --package parlance-tests --bin faults
	@"$${CARGO_TARGET_DIR:-target}/debug/faults" $(FAULTS)

fmt: ## Format Rust and protos
	@scripts/setup.sh test
	cargo fmt --all
	tooling/node_modules/.bin/buf format -w

lint: ## The checks of `make test` without the tests
	@scripts/test.sh --lint

setup: ## Install what the demo and the tests need on Debian or Ubuntu
	@scripts/setup.sh demo
	@scripts/setup.sh test
