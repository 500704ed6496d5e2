#!/usr/bin/env bash
# The console in a real browser, against a demo whose data flows.
#
#   tests/browser/run.sh                                  a demo of $MILLSTREAM_BIN
#   BASE_URL=http://127.0.0.1:8080 tests/browser/run.sh   one that is up already
#   tests/browser/run.sh install                          only install what it needs
#   LATENCY_P99_MS_MAX=250   fail when the page measures more
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"

need node npm "${CHROMIUM:-chromium}"
cd "$repo/tests/browser"
if ! cmp -s package-lock.json node_modules/.installed; then
  say "installing playwright-core into tests/browser"
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json node_modules/.installed
fi
if [ "${1:-}" = install ]; then exit; fi
# The types of web/ are held against the server's answers, by its TypeScript.
make --no-print-directory -C "$repo" web/node_modules/.installed
mkdir -p "$repo/tests/output/browser"
exec npm --silent test
