#!/bin/sh
# Four rounds on three local nodes over pinned TLS: handshake, rotation, a wrong pin, its repair. Installs and builds what a
# fresh clone lacks. Usage: testnet/scripts/run_tls_pinned_rounds.sh [--ports auto] [--artifacts DIRECTORY], by default into
# artifacts/testnet-pinned.
set -eu
cd "$(dirname "$0")/../.."
[ -d node_modules ] || npm ci
node build.js --if-stale
exec node runtime/main.js testnet pinned "$@"
