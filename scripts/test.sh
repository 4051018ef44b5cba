#!/usr/bin/env bash
# Everything that must be green, in the order of how soon it tells; the tests come last. Stops at the first
# failure. `--lint` leaves the tests out. Nothing is skipped for want of a tool: setup.sh brings it, or this fails.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    printf '\n== %s\n' "$*"
    "$@"
}

step scripts/setup.sh test
buf=tooling/node_modules/.bin/buf
step cargo fmt --all --check
step "$buf" lint
step "$buf" format --diff --exit-code
step node tooling/check-dependencies.mjs
step cargo clippy --locked --workspace --all-targets -- -D warnings
# Most tests wait for speech in real time, not for the processor: twice as many at once as it has cores.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$(($(nproc) * 2))}"
[ "${1:-}" = --lint ] || step cargo test --locked --workspace
