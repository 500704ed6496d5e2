#!/usr/bin/env bash
# The fuzz targets on libFuzzer, SECONDS_EACH seconds each (60 by default).
# Needs a nightly toolchain and cargo-fuzz; `make test` runs the same targets
# on a seeded mutator without either.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
for target in $(cargo fuzz list); do
  echo "==> $target"
  cargo +nightly fuzz run "$target" -- -max_total_time="${SECONDS_EACH:-60}" -rss_limit_mb=2048
done
