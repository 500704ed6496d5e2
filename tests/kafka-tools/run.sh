#!/usr/bin/env bash
# Kafka's own tools against our server and, when it has stopped, its files.
#
#   tests/kafka-tools/run.sh                our binary ($MILLSTREAM_BIN)
#   SERVER=kafka tests/kafka-tools/run.sh   Apache Kafka itself, the reference
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"

python_env
kafka_jars
exec "$repo/tests/.venv/bin/python" -m pytest "$repo/tests/kafka-tools" "$@"
