#!/usr/bin/env bash
# kcat, the Debian package. See ../run.sh.
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/suite.sh"

case $1 in
  install)
    python_env
    command -v kcat >/dev/null || "$repo/scripts/install-test-tools.sh"
    ;;
  run)
    version=$(kcat -V | sed -n 's/^Version \([0-9.]*\).*/\1/p')
    python_suite "$repo/tests/clients/kcat" "$2/c/kcat/$version"
    ;;
esac
