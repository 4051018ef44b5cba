# Sourced by demo.sh and run.sh: builds the engine, starts one on a free port, stops it whatever happens.
# Sets `parlance` (the program) and PARLANCE_ENDPOINT, PARLANCE_DATA_DIR for it.

profile="${PARLANCE_PROFILE:-release}"
export PARLANCE_DATA_DIR="${PARLANCE_DATA_DIR:-.parlance}"
engine_log="$PARLANCE_DATA_DIR/engine.log"
engine_pid=

say() { printf '\n== %s\n' "$*"; }

fail() {
    echo "$(basename "$0" .sh): $*" >&2
    exit 1
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
    export PARLANCE_ENDPOINT="http://127.0.0.1:$port"
    trap stop_engine EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    "$parlance" serve --port "$port" >"$engine_log" 2>&1 &
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
