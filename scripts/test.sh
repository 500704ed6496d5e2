#!/usr/bin/env bash
# All tests, suite by suite, each with the minutes it took. A suite that
# cannot run fails; nothing is skipped.
set -uo pipefail
cd "$(dirname "$0")/.."
export TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
export MILLSTREAM_BIN=$TARGET_DIR/debug/millstream
mkdir -p tests/output

names=() results=() minutes=() told=()
passed=0 failed=0

suite() { # name command...
  local name=$1 start=$SECONDS status log=tests/output/suite.log
  shift
  echo
  echo "==> $name"
  if "$@" 2>&1 | tee "$log"; then
    status=ok passed=$((passed + 1))
  else
    status=FAILED failed=$((failed + 1))
    # Once more below the table, which is often all that is kept of a run.
    told+=("$name: $(tail -n 6 "$log" | cut -c 1-160)")
  fi
  local took=$((SECONDS - start))
  names+=("$name") results+=("$status") minutes+=("$(printf '%d:%02d' $((took / 60)) $((took % 60)))")
  echo "<== $name: $status in ${minutes[-1]}"
}

rust_lint() {
  cargo fmt --all --check &&
    cargo clippy --locked --quiet --workspace --all-targets -- -D warnings &&
    # Not of the workspace, and compiled by `make bench` only otherwise.
    cargo clippy --locked --quiet --manifest-path benches/load/Cargo.toml -- -D warnings
}

# Sets of suites may be named: scripts/test.sh rust clients ...
wanted() { [[ $# -eq 0 || -z ${ONLY:-} || " $ONLY " == *" $1 "* ]]; }
ONLY="${*:-}"

scripts/need.sh cargo cc make node npm python3 java mvn go || exit 1

wanted tools && suite "tools: what the tests need" scripts/install-test-tools.sh
wanted web && suite "web: types, lint, unit tests, build" bash -c 'make --no-print-directory web/node_modules/.installed && cd web && npm run --silent check && cd .. && make --no-print-directory web'
wanted lint && suite "rust: format and clippy" rust_lint
# Tests and binary in one go: other selections of packages would build the
# dependencies once more, with other features.
wanted build && suite "rust: the binary and all tests, built" cargo test --locked --quiet --workspace --no-run
wanted rust && suite "rust: unit, property, crash and integration tests" cargo test --locked --quiet --workspace --no-fail-fast
wanted clients && suite "clients: Java, Go, Python and others, new and old" tests/clients/run.sh
wanted tools-kafka && suite "kafka tools on our files" tests/kafka-tools/run.sh
wanted faults && suite "faults: kills, disks, clocks, connections; 20 seeded rounds" tests/faults/run.sh
wanted bus && suite "bus: the librdkafka implementation" tests/bus/run.sh
wanted flights && suite "flights: 336,776 real records, with and without kill -9" tests/flights/run.sh
wanted browser && suite "browser: the demo in Chromium" tests/browser/run.sh

echo
echo "suite                                                      result  min:sec"
for i in "${!names[@]}"; do
  printf '%-58s %-7s %s\n' "${names[$i]}" "${results[$i]}" "${minutes[$i]}"
done
printf 'all suites in %d:%02d\n' $((SECONDS / 60)) $((SECONDS % 60))
if ((failed)); then printf '%s\n' "${told[@]}"; fi
echo "suites: $passed passed, $failed failed"
exit $((failed > 0))
