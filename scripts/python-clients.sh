#!/usr/bin/env bash
# The vendors' own Python clients, in target/python-clients, as tests/fakes/python/requirements.txt pins them. Silent
# and quick when they are there; made anew when the pins changed. Two at once wait for one another.
set -euo pipefail
cd "$(dirname "$0")/.."

pins=tests/fakes/python/requirements.txt
place=target/python-clients

fail() {
    echo "python-clients: $*" >&2
    exit 1
}

# The pins are copied there last: a half-made one is made anew.
are_there() { [ -x "$place/bin/python" ] && cmp -s "$pins" "$place/requirements.txt"; }

are_there && exit
mkdir -p target
exec 9>"$place.lock"
flock -w 900 9 || fail "another one has been installing for 15 minutes; see who holds $place.lock"
are_there && exit

python3 -c 'import ensurepip, venv' 2>/dev/null ||
    fail "python3 or its venv module is missing: run scripts/setup.sh test, or apt-get install python3-venv"
echo "python-clients: installing $(grep -vc '^#' "$pins") clients into $place"
rm -rf "$place"
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
{ python3 -m venv "$place" &&
    "$place/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --requirement "$pins"; } \
    >"$log" 2>&1 9>&- ||
    { tail -n 5 "$log" >&2; fail "pip could not install $pins (its last words are above)"; }
cp "$pins" "$place/requirements.txt"
