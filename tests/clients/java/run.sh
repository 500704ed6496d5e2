#!/usr/bin/env bash
# Apache Kafka's own Java client, the newest. See ../run.sh.
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/suite.sh"

module="$repo/tests/clients/java"

case $1 in
  install)
    need java mvn
    say "building the Java client tests with Maven"
    mvn -B -q -f "$module/pom.xml" test-compile
    ;;
  run)
    version=$(sed -n 's|.*<kafka.version>\(.*\)</kafka.version>.*|\1|p' "$module/pom.xml")
    folder="$2/java/kafka-clients/$version"
    mkdir -p "$folder"
    rm -rf "$module/target/surefire-reports"
    status=0
    # Without -q for Surefire's closing line.
    mvn -B -ntp -Dstyle.color=never -f "$module/pom.xml" surefire:test || status=1
    cp "$module"/target/surefire-reports/TEST-*.xml "$folder/" || status=1
    exit "$status"
    ;;
esac
