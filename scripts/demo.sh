#!/usr/bin/env bash
# A whole booking call by voice, from WAV files through a real engine to Postgres: installs what is missing,
# builds, starts an engine on a free port, calls it, shows what was stored, stops it.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh demo
# An engine of the demo's own: it never touches a database or a data folder that somebody uses.
# Empty, not unset: a `.env` here must not lead the demo to somebody's database either.
export DATABASE_URL='' PARLANCE_API_KEY=''
. scripts/engine.sh
PARLANCE_DATA_DIR="$(data_folder)/demo"
export PARLANCE_DATA_DIR
mkdir -p "$(dirname "$PARLANCE_DATA_DIR")"
exec 9>"$PARLANCE_DATA_DIR.lock"
flock -n 9 || fail "another demo is running in $PARLANCE_DATA_DIR"

# The last demo's table is still booked in its database, so each demo begins with an empty one. A Postgres that
# a killed demo left behind is stopped first.
empty_data_folder() {
    local data="$PARLANCE_DATA_DIR/postgres/data" postgres
    postgres="$(head -n 1 "$data/postmaster.pid" 2>/dev/null || true)"
    # The number may long belong to somebody else.
    if [ -n "$postgres" ] && tr '\0' ' ' 2>/dev/null <"/proc/$postgres/cmdline" | grep -qF "$data"; then
        kill -INT "$postgres"
        for _ in $(seq 100); do
            kill -0 "$postgres" 2>/dev/null || break
            sleep 0.1
        done
    fi
    rm -rf "$PARLANCE_DATA_DIR"
}

say "Building the engine ($profile)"
build_engine
say "Starting an engine with its own Postgres in $PARLANCE_DATA_DIR"
empty_data_folder
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

say "The appointment in Postgres"
database="postgres://parlance@/postgres?host=$(cd "$PARLANCE_DATA_DIR" && pwd)/postgres/run"
appointment="$(psql "$database" --pset pager=off --expanded -c "SELECT * FROM parlance.appointments")" ||
    fail "the appointment could not be read from Postgres"
echo "$appointment"
case "$appointment" in *customer_name*) ;; *) fail "the call ended, but no table was booked (see above)" ;; esac

say "Done"
echo "The recording is $recording (caller left, agent right); the engine is stopped."
echo "\`make run\` leaves one running for you to call."
