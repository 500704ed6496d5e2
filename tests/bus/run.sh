#!/usr/bin/env bash
# The bus conformance suite over librdkafka, and a SQL job on that bus that is
# cut off again and again: once against Millstream, once
# against Apache Kafka. The same suite runs in-process in crates/broker and on
# the in-memory bus in crates/core.
set -euo pipefail
source "$(dirname "$0")/../lib/suite.sh"
cd "$repo"
need cargo
cargo test --locked --quiet -p millstream-connect -p millstream-engine --tests --no-run
for server in millstream kafka; do
  say "bus conformance against $server"
  SERVER=$server with_server bash -c \
    'MILLSTREAM_TEST_KAFKA=$BOOTSTRAP cargo test --locked --quiet -p millstream-connect --tests && MILLSTREAM_TEST_KAFKA=$BOOTSTRAP cargo test --locked --quiet -p millstream-engine --test on_kafka'
done
