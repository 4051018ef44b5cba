#!/usr/bin/env bash
# An engine with the demo agent, up until Ctrl-C: installs what is missing, builds, starts, waits.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh demo
. scripts/engine.sh
PARLANCE_DATA_DIR="${PARLANCE_DATA_DIR:-$(data_folder)}"
export PARLANCE_DATA_DIR

say "Building the engine ($profile)"
build_engine
start_engine
cat "$engine_log"
"$parlance" agents apply -f examples/agents/restaurant.yaml

say "Running at $PARLANCE_ENDPOINT. Ctrl-C stops it. In another terminal:"
echo "export PARLANCE_ENDPOINT=$PARLANCE_ENDPOINT PARLANCE_DATA_DIR=$PARLANCE_DATA_DIR"
echo "$parlance talk --agent restaurant"
echo "$parlance call --agent restaurant --save call.wav --wav tests/audio/u01_slt.wav tests/audio/u04_slt.wav"
wait "$engine_pid"
