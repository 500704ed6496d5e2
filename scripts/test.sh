#!/usr/bin/env bash
# All tests, suite by suite, each with the minutes it took. A suite that
# cannot run fails; nothing is skipped.
#
#   scripts/test.sh                     all
#   scripts/test.sh rust clients ...    only these
#
# First everything is built, beside what the tests need being installed; then
# the suites run in lanes, side by side: most of them mostly wait, for
# rebalances, restarts and time-outs. What a suite prints is in
# tests/output/suites/NAME.log, and is shown in one piece when it has ended.
set -uo pipefail
cd "$(dirname "$0")/.."
export TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
export MILLSTREAM_BIN=$TARGET_DIR/debug/millstream
# The workspace is compiled by clippy's driver, so that its lints and the
# binaries come of one build (cargo clippy would check all dependencies again).
# shellcheck source=scripts/clippy-build.sh
. scripts/clippy-build.sh

only=" ${*:-} "
logs=$PWD/tests/output/suites
rm -rf "$logs"
mkdir -p "$logs"

scripts/need.sh cargo cc make node npm python3 java mvn go flock || exit 1

# Suites in the table's order: name, what it is, the command.
order=()
declare -A titles=() commands=()
suite() {
  order+=("$1")
  titles[$1]=$2
  commands[$1]=${*:3}
}

suite tools "what the tests need" scripts/prepare-tests.sh
suite web "web: types, lint, unit tests, build" scripts/check-web.sh
suite format "rust: format" cargo fmt --all --check
suite build "rust: clippy, the binary and all tests, built" cargo test --locked --quiet --workspace --no-run
suite licences "licences and sources of what we depend on" scripts/check-licences.sh
suite rust "rust: unit, property, crash and integration tests" cargo test --locked --quiet --workspace --no-fail-fast
suite clients "clients: Java, Go, Python and others, new and old" tests/clients/run.sh
suite tools-kafka "kafka tools on our files" tests/kafka-tools/run.sh
suite faults "faults: kills, disks, clocks, connections; 20 seeded rounds" tests/faults/run.sh
suite bus "bus: the librdkafka implementation" tests/bus/run.sh
suite external "external: a Kafka cluster whose brokers are killed in turn" tests/external/run.sh
suite flink-parser "flink parser: our SQL files are Flink SQL" tests/flink-parser/run.sh
suite flights "flights: 336,776 real records, with and without kill -9" tests/flights/run.sh
suite upgrade "upgrade: data folders of earlier builds" tests/upgrade/run.sh
suite browser "browser: the demo in Chromium" tests/browser/run.sh

wanted() { [[ $only == "  " || $only == *" $1 "* ]]; }

# Runs one suite and shows in one piece what it printed: all of it when it
# failed, else its end.
run() { # name
  local name=$1 start=$SECONDS status=ok
  wanted "$name" || return 0
  eval "${commands[$name]}" >"$logs/$name.log" 2>&1 </dev/null || status=FAILED
  local took=$((SECONDS - start))
  printf '%s %d\n' "$status" "$took" >"$logs/$name.result"
  {
    flock 9
    printf '\n<== %s: %s in %d:%02d\n' "${titles[$name]}" "$status" $((took / 60)) $((took % 60))
    if [[ $status == ok ]]; then tail -n 12 "$logs/$name.log"; else cat "$logs/$name.log"; fi
  } 9>"$logs/.lock"
  [[ $status == ok ]]
}

# Suites one after the other; the first that fails ends it only if asked to.
lane() { # names...
  local name
  for name in "$@"; do run "$name"; done
}
steps() { # names..., each needs the one before
  local name
  for name in "$@"; do run "$name" || return; done
}

echo "==> building, and installing what the tests need"
lane tools &
{ steps web build; lane format licences; } &
wait

echo "==> the suites, in lanes"
lane rust tools-kafka browser &
lane clients upgrade bus &
lane faults flights flink-parser &
wait

# By itself: it says how soon after a kill the next result must come, and beside
# other suites Kafka's own election of leaders takes longer than that.
lane external

echo
printf '%-60s %-7s %s\n' suite result min:sec
passed=0 failed=0 told=()
for name in "${order[@]}"; do
  wanted "$name" || continue
  read -r status took <"$logs/$name.result" 2>/dev/null || { status="not run" took=0; }
  printf '%-60s %-7s %d:%02d\n' "${titles[$name]}" "$status" $((took / 60)) $((took % 60))
  if [[ $status == ok ]]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    # Once more below the table, which is often all that is kept of a run.
    told+=("${titles[$name]}: $(tail -n 6 "$logs/$name.log" 2>/dev/null | cut -c 1-160)")
  fi
done
printf 'all suites in %d:%02d\n' $((SECONDS / 60)) $((SECONDS % 60))
if ((failed)); then printf '%s\n' "${told[@]}"; fi
echo "suites: $passed passed, $failed failed"
exit $((failed > 0))
