#!/usr/bin/env bash
# The console: types, lint and unit tests, then the build that goes into the binary.
set -euo pipefail
cd "$(dirname "$0")/.."
make --no-print-directory web/node_modules/.installed
(cd web && npm run --silent check)
make --no-print-directory web
