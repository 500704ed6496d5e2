#!/usr/bin/env bash
# Side by side with Apache Kafka; method in benches/README.md.
#
#   benches/run.sh            about 20 minutes, medians of five rounds
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
exec "$repo/tests/.venv/bin/python" "$repo/benches/bench.py"
