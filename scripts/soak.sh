#!/usr/bin/env bash
# The tests that kill the server, many times over with new seeds.
# ROUNDS rounds (20 by default), seeds from SEED on.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-20}
seed=${SEED:-1}
for ((round = 0; round < rounds; round++)); do
  echo "==> round $((round + 1)) of $rounds, seed $((seed + round))"
  SEED=$((seed + round)) tests/flights/run.sh
done
echo "soak: $rounds passed, 0 failed"
