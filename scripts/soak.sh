#!/usr/bin/env bash
# The tests that kill the server, many times over with new seeds: the fault
# loop, the crash points in process, and the flights job.
#
#   ROUNDS=200         rounds of the fault loop, with six faults each
#   CRASH_POINTS=200000   crash points of each in-process test (the slowest cap
#                      it: the tests of crates/cluster and crates/broker)
#   FLIGHTS_ROUNDS=20  rounds of the flights job under kill -9
#   SEED=1             first seed of all
#   OUT=FILE           where the fault loop's results go, as JSON lines
#   PARTS="faults crash flights"   only some of it
set -euo pipefail
cd "$(dirname "$0")/.."
seed=${SEED:-1}
parts=" ${PARTS:-faults crash flights} "
if [[ $parts == *" crash "* ]]; then
  echo "==> ${CRASH_POINTS:-200000} crash points of each kind, seeds from $seed"
  # Only the crates that have them: the whole workspace takes long to compile.
  MILLSTREAM_CRASH_POINTS=${CRASH_POINTS:-200000} MILLSTREAM_CRASH_SEED=$seed \
    cargo test --locked --quiet --release \
    -p millstream-log -p millstream-cluster -p millstream-broker crash_point
fi
if [[ $parts == *" faults "* ]]; then
  echo "==> ${ROUNDS:-200} rounds of the fault loop, seeds from $seed"
  tests/faults/run.sh --seed "$seed" --rounds "${ROUNDS:-200}" --faults 6 --load 2 ${OUT:+--out "$OUT"}
fi
if [[ $parts == *" flights "* ]]; then
  rounds=${FLIGHTS_ROUNDS:-20}
  for ((round = 0; round < rounds; round++)); do
    echo "==> flights: round $((round + 1)) of $rounds, seed $((seed + round))"
    FLIGHTS_SEED=$((seed + round)) tests/flights/run.sh
  done
fi
echo "soak: passed:$parts"
