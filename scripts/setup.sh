#!/usr/bin/env bash
# Installs what is missing on this machine: `setup.sh demo` for the demo, `setup.sh test` also for the tests.
# Looks for the things themselves and not for packages, so that any way of having them will do; silent and
# quick when nothing is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

for_what="${1:-demo}"
packages=()

need() { # package, and a command that succeeds if the package is not needed
    local package="$1"
    shift
    "$@" >/dev/null 2>&1 || packages+=("$package")
}

has_library() { # soname
    case ":$({ /sbin/ldconfig -p || ldconfig -p; } 2>/dev/null)" in *"$1"*) return 0 ;; esac
    return 1
}

has_postgres() {
    [ -n "${DATABASE_URL:-}" ] || [ -n "${PARLANCE_POSTGRES_BIN:-}" ] || command -v initdb ||
        compgen -G '/usr/lib/postgresql/*/bin/initdb'
}

fail() {
    echo "setup: $*" >&2
    exit 1
}

command -v cargo >/dev/null || fail "Rust is missing: install it with the command on https://rustup.rs, then try again"

need build-essential command -v cc
need postgresql has_postgres
need postgresql-client command -v psql
need libpocketsphinx3 has_library libpocketsphinx.so.3
need pocketsphinx-en-us test -f /usr/share/pocketsphinx/model/en-us/en-us/mdef
need libflite1 has_library libflite_cmu_us_slt.so.1
need espeak-ng command -v espeak-ng
if [ "$for_what" = test ]; then
    need nodejs command -v node
    need npm command -v npm
    need python3-venv python3 -c 'import ensurepip, venv'
fi

if [ ${#packages[@]} -gt 0 ]; then
    command -v apt-get >/dev/null ||
        fail "this machine has no apt-get; install by your own means what Debian calls: ${packages[*]}"
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "run this as root, then try again: apt-get install ${packages[*]}"
        as_root=(sudo)
    fi
    echo "setup: installing ${packages[*]}"
    log="$(mktemp)"
    trap 'rm -f "$log"' EXIT
    apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" >"$log" 2>&1; }
    # The lists of a fresh machine are empty or old: fetch them only if they do not do.
    apt install --no-install-recommends "${packages[@]}" ||
        { apt update && apt install --no-install-recommends "${packages[@]}"; } ||
        { tail -n 5 "$log" >&2; fail "apt-get could not install ${packages[*]} (its last words are above)"; }
fi

if [ "$for_what" = test ]; then
    wanted="$(sed -n 's/.*"@bufbuild\/buf": "\(.*\)".*/\1/p' tooling/package.json)"
    if [ "$(tooling/node_modules/.bin/buf --version 2>/dev/null)" != "$wanted" ]; then
        echo "setup: fetching buf $wanted"
        # `install` and not `ci`: the lock has no entries for platforms that some registries do not carry.
        said="$(npm --prefix tooling install --no-save --ignore-scripts --no-audit --no-fund 2>&1)" ||
            { echo "$said" | tail -n 5 >&2; fail "npm could not fetch buf $wanted (its last words are above)"; }
    fi
    scripts/python-clients.sh
fi
