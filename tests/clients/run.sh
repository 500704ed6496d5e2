#!/usr/bin/env bash
# The Kafka clients that people use, against one server: Apache Kafka's own Java
# client and librdkafka through Python.
#
#   tests/clients/run.sh                      our binary ($MILLSTREAM_BIN)
#   SERVER=kafka tests/clients/run.sh         Apache Kafka itself, the reference
#   BOOTSTRAP=127.0.0.1:9092 tests/clients/run.sh   a server that is up already
#   CLIENTS="java" tests/clients/run.sh       only some of java, python
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"

clients=${CLIENTS:-java python}

run_java() {
  # Without -q for Surefire's closing line; without what Maven says about itself.
  mvn -B -ntp -Dstyle.color=never -f "$repo/tests/clients/java/pom.xml" surefire:test |
    { grep -E '^\[(INFO|ERROR|WARNING)\] (Tests run|Running| *[A-Z][A-Za-z]*Test[.:]|dev\.)|^[a-zA-Z\t ]' || true; }
}

run_python() {
  "$repo/tests/.venv/bin/python" -m pytest "$repo/tests/clients/python"
}

# Called again beside the server, with BOOTSTRAP set.
if [ "${1:-}" = inside ]; then
  passed=0 failed=0
  for client in $clients; do
    started=$SECONDS
    say "$client client against ${SERVER:-the server at} $BOOTSTRAP"
    if "run_$client"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    say "$client client: $((SECONDS - started)) s"
  done
  printf '%d passed, %d failed\n' "$passed" "$failed"
  [ "$failed" = 0 ]
  exit
fi

for client in $clients; do
  case $client in
    java)
      need java mvn
      say "building the Java client tests with Maven"
      mvn -B -q -f "$repo/tests/clients/java/pom.xml" test-compile
      ;;
    python) python_env ;;
    *) printf 'error: no client tests named %s\n' "$client" >&2; exit 1 ;;
  esac
done
with_server "${BASH_SOURCE[0]}" inside
