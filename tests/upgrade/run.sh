#!/usr/bin/env bash
# Data folders of earlier builds, opened with this one ($MILLSTREAM_BIN).
# `make_folder.py` makes a new one.
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"

python_env
exec "$repo/tests/.venv/bin/python" -m pytest "$repo/tests/upgrade" "$@"
