#!/usr/bin/env bash
# The Kafka clients that people use, in the versions that people run, against
# one server.
#
#   tests/clients/run.sh                      our binary ($MILLSTREAM_BIN)
#   SERVER=kafka tests/clients/run.sh         Apache Kafka itself, the reference
#   BOOTSTRAP=127.0.0.1:9092 tests/clients/run.sh   a server that is up already
#   CLIENTS="java go" tests/clients/run.sh    only some
#   LANES=1 tests/clients/run.sh              one client after the other
#   tests/clients/run.sh install              only fetch and compile
#
# A client is a folder with a run.sh of its own: `run.sh install` fetches and
# compiles, `run.sh run FOLDER` leaves results in FOLDER/language/client/version.
# tests.allow lists every test that must pass, FINDINGS.md says what is not there.
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"

here="$repo/tests/clients"
# The longest first, so that none of them is what is waited for at the end.
all="java go java-old python kafka-python aiokafka node kcat"
clients=${CLIENTS:-$all}
results=${RESULTS:-$repo/tests/output/clients}

# One client, told in one piece when it has ended.
run_one() { # client
  local started=$SECONDS status=0
  "$here/$1/run.sh" run "$results" >"$results/$1.log" 2>&1 || status=$?
  say "$1 against ${SERVER:-the server at} $BOOTSTRAP: $([ "$status" = 0 ] && echo ok || echo FAILED) in $((SECONDS - started)) s"
  if [ "$status" != 0 ]; then cat "$results/$1.log"; fi
  return "$status"
}

install_clients() {
  local client
  for client in $clients; do
    if [ ! -x "$here/$client/run.sh" ]; then
      printf 'error: no client tests named %s\n' "$client" >&2
      exit 1
    fi
    "$here/$client/run.sh" install
  done
}

case ${1:-} in
  install) install_clients; exit ;;
  one) run_one "$2"; exit ;;
  inside) # beside the server, with BOOTSTRAP set
    status=0
    # Most of a test is waiting for rebalances, hence two at a time on two cores.
    printf '%s\n' $clients | xargs -P "${LANES:-2}" -n 1 "$here/run.sh" one || status=1
    all_flag=$([ "$clients" = "$all" ] && echo --all || true)
    python3 "$here/results.py" "$results" "$here/tests.allow" $all_flag || status=1
    exit "$status"
    ;;
esac

install_clients
rm -rf "$results"
mkdir -p "$results"
export RESULTS="$results" CLIENTS="$clients"
with_server "$here/run.sh" inside
