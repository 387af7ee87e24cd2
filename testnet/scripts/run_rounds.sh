#!/bin/sh
# Three observation rounds on three local nodes: healthy, one slow, one lies. Installs and builds what a fresh clone lacks.
# Usage: testnet/scripts/run_rounds.sh [--ports auto] [--artifacts DIRECTORY], by default into artifacts/testnet.
set -eu
cd "$(dirname "$0")/../.."
[ -d node_modules ] || npm ci
node build.js --if-stale
exec node runtime/main.js testnet rounds "$@"
