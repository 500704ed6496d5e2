#!/usr/bin/env bash
# Side by side with Apache Kafka; method in benches/README.md.
#
#   benches/run.sh                     everything, about 36 minutes
#   AIMS=1 benches/run.sh              the parts behind every aim but that of many partitions, about 13 minutes
#   QUICK=1 benches/run.sh             one short round of everything, to see that it works
#   PARTS="core reading" benches/run.sh   only these
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tests/lib/suite.sh"

need cargo cc make
python_env
kafka_jars
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$repo/target}
export MILLSTREAM_BIN=${MILLSTREAM_BIN:-$CARGO_TARGET_DIR/release/millstream}
say "building the load client (release)"
cargo build --quiet --release --locked -p millstream-load
# Thousands of connections and partitions need as many files, on both sides.
ulimit -n 1048576 2>/dev/null || ulimit -n "$(ulimit -Hn)"
if [ -z "${TANSU_BIN:-}" ] && ! command -v tansu >/dev/null; then
  say "no Tansu: TANSU_BIN is not set and tansu is not on PATH; its column is left out"
fi
parts="core connections transactions records reading partitions recovery"
if [ "${AIMS:-0}" != 0 ]; then
  parts="core connections transactions"
fi
status=0
for part in ${PARTS:-$parts}; do
  say "$part"
  "$repo/tests/.venv/bin/python" "$repo/benches/$part.py" || status=1
done
"$repo/tests/.venv/bin/python" "$repo/benches/aims.py" || status=1
exit "$status"
