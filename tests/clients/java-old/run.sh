#!/usr/bin/env bash
# Apache Kafka's own Java client, one and two majors back. See ../run.sh.
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/suite.sh"

module="$repo/tests/clients/java-old"
versions="2.8.2 3.9.1"

# Compiled anew for each: what it is compiled against is what it runs with.
maven() { mvn -B -f "$module/pom.xml" -Dkafka.version="$1" -Dmillstream.build="$module/target/$1" "${@:2}"; }

case $1 in
  install)
    need java mvn
    say "building the tests of older Java clients with Maven"
    for version in $versions; do maven "$version" -q test-compile; done
    ;;
  run)
    status=0
    for version in $versions; do
      folder="$2/java/kafka-clients/$version"
      mkdir -p "$folder"
      rm -rf "$module/target/$version/surefire-reports"
      maven "$version" -ntp -Dstyle.color=never surefire:test || status=1
      cp "$module/target/$version"/surefire-reports/TEST-*.xml "$folder/" || status=1
    done
    exit "$status"
    ;;
esac
