#!/usr/bin/env bash
# The fault loop around our binary ($MILLSTREAM_BIN), after the unit tests of
# its checker and schedule. See README.md.
#
#   tests/faults/run.sh                       20 rounds from seed 1
#   tests/faults/run.sh --seed 7 --rounds 1   one seed again
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"

need cc
python_env
kafka_jars
cd "$repo/tests/faults"
"$venv/bin/python" -m pytest -q
exec "$venv/bin/python" faults.py "$@"
