#!/usr/bin/env bash
# A windowed job on an Apache Kafka cluster of three nodes whose brokers are
# killed in turn: no restart, nothing lost, nothing doubled.
#
#   tests/external/run.sh                      three kills
#   EXTERNAL_KILLS=12 tests/external/run.sh    more
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"

python_env
kafka_jars
exec "$repo/tests/.venv/bin/python" -m pytest "$repo/tests/external" "$@"
