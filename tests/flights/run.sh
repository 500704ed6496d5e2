#!/usr/bin/env bash
# The main job on real input: 336,776 flights, hourly windows per carrier,
# against pandas, calm and with three SIGKILLs.
#
#   FLIGHTS_SEED=7   the moments of the kills and the order of arrival
#   FLIGHTS_RATE=8000   records a second while the server is being killed
#   SERVER=kafka     only the input half, against Apache Kafka
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"

python_env
if [ "${SERVER:-millstream}" = kafka ]; then kafka_jars; fi
exec "$repo/tests/.venv/bin/python" -m pytest "$repo/tests/flights" "$@"
