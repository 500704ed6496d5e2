#!/usr/bin/env bash
# Installs and compiles all that the suites need beside our own binary, so that
# it can be done while that is being built.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install-test-tools.sh
# shellcheck source=tests/lib/suite.sh
. tests/lib/suite.sh
python_env
kafka_jars
tests/clients/run.sh install
tests/browser/run.sh install
