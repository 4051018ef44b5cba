# Sourced by demo.sh and run.sh: builds the engine, starts one on a free port, stops it whatever happens.
# Takes PARLANCE_DATA_DIR and PARLANCE_PROFILE; sets `parlance` (the program) and PARLANCE_ENDPOINT.

# The tests' profile: a machine builds the engine once for both, and in half of release's time. What handles
# audio is compiled for speed in it too (see Cargo.toml).
profile="${PARLANCE_PROFILE:-dev}"
engine_pid=
engine_log=

say() { printf '\n== %s\n' "$*"; }

fail() {
    echo "$(basename "$0" .sh): $*" >&2
    exit 1
}

# Where the engine keeps its things. Postgres refuses root, so root's engine runs it as another user, who may
# not enter a folder below one that is closed, such as /root.
data_folder() {
    local dir
    dir="$(pwd -P)"
    while [ "$(id -u)" -eq 0 ] && [ "$dir" != / ]; do
        if [ -z "$(find "$dir" -maxdepth 0 -perm -o+x)" ]; then
            echo /var/tmp/parlance
            return
        fi
        dir="$(dirname "$dir")"
    done
    echo "$(pwd -P)/.parlance"
}

build_engine() {
    cargo build --locked --profile "$profile" -p parlance || fail "the engine did not build (cargo says why above)"
    local folder="$profile"
    [ "$profile" != dev ] || folder=debug
    parlance="${CARGO_TARGET_DIR:-target}/$folder/parlance"
}

free_port() {
    local port
    for port in $(seq "${PORT:-8080}" 8179); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
    fail "no port from ${PORT:-8080} to 8179 is free"
}

start_engine() {
    local port
    port="$(free_port)"
    mkdir -p "$PARLANCE_DATA_DIR"
    engine_log="$PARLANCE_DATA_DIR/engine.log"
    export PARLANCE_ENDPOINT="http://127.0.0.1:$port"
    trap stop_engine EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # The demo's lock is the demo's: an engine or a Postgres that outlives it must not hold it.
    "$parlance" serve --port "$port" >"$engine_log" 2>&1 9>&- &
    engine_pid=$!
    local waited=0
    until "$parlance" agents list >/dev/null 2>&1; do
        if ! kill -0 "$engine_pid" 2>/dev/null; then
            engine_pid=
            tail -n 20 "$engine_log" >&2
            fail "the engine did not start (the end of $engine_log is above)"
        fi
        waited=$((waited + 1))
        [ "$waited" -lt 600 ] || { tail -n 20 "$engine_log" >&2; fail "the engine was not ready within 2 minutes"; }
        sleep 0.2
    done
}

# The engine drains: a second signal to it would end the calls under way.
stop_engine() {
    [ -n "$engine_pid" ] || return 0
    kill -TERM "$engine_pid" 2>/dev/null || true
    wait "$engine_pid" || true
    engine_pid=
}
