#!/usr/bin/env bash
# The same random requests to Apache Kafka and to us. See README.md.
#
#   tests/differential/run.sh [--set data] [--seed 1] [--runs 20] [--steps 400]
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"

need javac
kafka_jars
classes="$repo/tests/differential/target"
mkdir -p "$classes"
javac -nowarn -Xlint:-deprecation -cp "$repo/tests/kafka-tools/target/jars/*" -d "$classes" "$repo"/tests/differential/src/*.java
exec python3 "$repo/tests/differential/run.py" "$@"
