#!/usr/bin/env bash
# A whole booking call by voice, from WAV files through a real engine to Postgres: installs what is missing,
# builds, starts an engine on a free port, calls it, shows what was stored, stops it.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh demo
. scripts/engine.sh

say "Building the engine ($profile)"
build_engine
say "Starting an engine with its own Postgres in $PARLANCE_DATA_DIR"
start_engine
cat "$engine_log"

say "Giving it the demo agent"
"$parlance" agents apply -f examples/agents/restaurant.yaml

say "Calling it: the caller is four WAV files, the answers are the engine's"
recording="$PARLANCE_DATA_DIR/demo-call.wav"
"$parlance" call --agent restaurant --save "$recording" --wav \
    tests/audio/u01_slt.wav tests/audio/u04_slt.wav tests/audio/u08_slt.wav tests/audio/u17_slt.wav ||
    fail "the call did not end as it should (see above, and $engine_log)"

say "The call as it is stored"
"$parlance" calls show --last

say "The appointments in Postgres"
database="${DATABASE_URL:-postgres://parlance@/postgres?host=$(cd "$PARLANCE_DATA_DIR" && pwd)/postgres/run}"
psql "$database" --pset pager=off -c "SELECT start_time, party_size, customer_name, customer_phone, state, create_time
    FROM parlance.appointments ORDER BY create_time DESC LIMIT 3" ||
    fail "the appointment could not be read from Postgres"

say "Done"
echo "The recording is $recording (caller left, agent right)."
echo "\`make run\` leaves an engine running for you to call."
