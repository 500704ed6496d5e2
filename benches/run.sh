#!/usr/bin/env bash
# Side by side with Apache Kafka; method in benches/README.md.
#
#   benches/run.sh            about 45 minutes, medians of five rounds
#   PARTS=scale benches/run.sh   only connections, groups and catching up
#   QUICK=1 benches/run.sh    about 3 minutes, one round
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tests/lib/suite.sh"

need cargo cc make
python_env
kafka_jars
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$repo/target}
export MILLSTREAM_BIN=${MILLSTREAM_BIN:-$CARGO_TARGET_DIR/release/millstream}
say "building the load client (release)"
cargo build --quiet --release --locked --manifest-path "$repo/benches/load/Cargo.toml"
# Thousands of connections need as many files, on both sides.
ulimit -n "$(ulimit -Hn)"
status=0
for part in ${PARTS:-bench scale}; do
  "$repo/tests/.venv/bin/python" "$repo/benches/$part.py" || status=1
done
exit "$status"
