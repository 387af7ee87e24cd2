#!/bin/sh
# Makes an authority (ten years) and certificates (one year) for node_1 … node_N, and pinned_certs.json with their pins. What is
# there already stays. Usage: testnet/scripts/gen-selfsigned-ca.sh [N] [DIRECTORY], by default 3 and testnet/config/tls.
set -eu
cd "$(dirname "$0")/../.."
count=${1:-3}
directory=${2:-testnet/config/tls}
number=1
while [ "$number" -le "$count" ]; do
  if [ ! -e "$directory/node_$number.crt" ]; then
    node runtime/main.js certs issue "node_$number" --dir "$directory" --address "quorate-node-$number"
  fi
  number=$((number + 1))
done
