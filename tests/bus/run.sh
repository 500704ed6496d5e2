#!/usr/bin/env bash
# The bus conformance suite over librdkafka, and a SQL job on that bus that is
# cut off again and again: once against Millstream, once
# against Apache Kafka. The same suite runs in-process in crates/broker and on
# the in-memory bus in crates/core.
set -euo pipefail
source "$(dirname "$0")/../lib/suite.sh"
cd "$repo"
need cargo
# The whole workspace's features, as in the suites before: nothing is built twice.
cargo test --locked --quiet --workspace --test kafka_bus --test on_kafka --no-run
for server in millstream kafka; do
  say "bus conformance against $server"
  SERVER=$server with_server bash -c \
    'MILLSTREAM_TEST_KAFKA=$BOOTSTRAP cargo test --locked --quiet --workspace --test kafka_bus --test on_kafka'
done
