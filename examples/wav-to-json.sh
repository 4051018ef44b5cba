#!/usr/bin/env bash
# A caller as JSON: prints the messages of a VoiceSession, one a line and in real time, for any gRPC client that
# takes JSON (README.md shows buf curl and grpcurl). WAV files must be 16 kHz, 16 bits, mono.
#
#   examples/wav-to-json.sh agents/restaurant FILE [SECONDS FILE]... SECONDS
#
# Each number is how long the caller is silent after the file before it, to let the agent speak.
set -euo pipefail

piece=3200 # bytes: 100 ms

# Prints stdin as audio messages, one each 100 ms by the clock.
pieces() {
    local data
    while data="$(head -c "$piece" | base64 -w 0)" && [ -n "$data" ]; do
        printf '{"audio":{"data":"%s"}}\n' "$data"
        due=$((due + 100000))
        local now="${EPOCHREALTIME/[.,]/}"
        if ((due > now)); then
            sleep "$(printf '%d.%06d' $(((due - now) / 1000000)) $(((due - now) % 1000000)))"
        fi
    done
}

printf '{"start":{"agent":"%s","input_format":{"encoding":"AUDIO_ENCODING_PCM16","sample_rate_hz":16000}}}\n' "$1"
shift
due="${EPOCHREALTIME/[.,]/}"
for part in "$@"; do
    case "$part" in
        *[!0-9]*) pieces < <(tail -c +45 "$part") ;; # without the header
        *) pieces < <(head -c $((part * 10 * piece)) /dev/zero) ;;
    esac
done
