#!/usr/bin/env bash
# Whether what we call Flink SQL is: every statement of scenarios/, of the
# README and of the docs through the parser of Apache Flink itself.
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib/suite.sh"

need java mvn
module="$repo/tests/flink-parser"
if ! cmp -s "$module/pom.xml" "$module/target/pom.fetched"; then
  say "fetching Apache Flink's SQL parser with Maven into tests/flink-parser/target/jars"
  rm -rf "$module/target/jars"
  mvn -B -q -f "$module/pom.xml" dependency:copy-dependencies -DoutputDirectory=target/jars
  cp "$module/pom.xml" "$module/target/pom.fetched"
fi
cd "$repo"
mapfile -t files < <(find scenarios -name '*.sql' | sort)
for file in README.md README.zh-CN.md docs/*.md docs/reference/*.md; do
  if grep -qE '^```sql|millstream sql -e "' "$file"; then files+=("$file"); fi
done
exec java -cp "$module/target/jars/*" "$module/src/FlinkParser.java" "${files[@]}"
