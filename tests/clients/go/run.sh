#!/usr/bin/env bash
# Go: franz-go, sarama and kafka-go, the newest (go.mod) and old ones (old.mod).
# See ../run.sh.
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/suite.sh"

cd "$repo/tests/clients/go"
# No toolchain and no module but those pinned here.
export GOFLAGS="-mod=readonly" GOTOOLCHAIN=local

# The version that a module file leads to, behind its replacements.
version() { # modfile module
  go list -modfile="$1" -m -f '{{if .Replace}}{{.Replace.Version}}{{else}}{{.Version}}{{end}}' "$2"
}

suite() { # results modfile tags package name module
  local folder
  folder="$1/go/$5/$(version "$2" "$6" | sed 's/^v//')"
  mkdir -p "$folder"
  # The lines for a person are made from the same output.
  go test -modfile="$2" -tags="$3" -count=1 -timeout=300s -json "./$4" >"$folder/results.json" && return
  python3 -c 'import json, sys
for line in open(sys.argv[1]):
    if line.startswith("{"):
        print(json.loads(line).get("Output", ""), end="")' "$folder/results.json"
  return 1
}

case $1 in
  install)
    "$repo/scripts/need.sh" go cc
    say "building the Go client tests"
    go vet ./... && go vet -modfile=old.mod -tags=old ./franz ./sarama
    ;;
  run)
    status=0
    suite "$2" go.mod new franz franz-go github.com/twmb/franz-go || status=1
    suite "$2" old.mod old franz franz-go github.com/twmb/franz-go || status=1
    suite "$2" go.mod new sarama sarama github.com/IBM/sarama || status=1
    suite "$2" old.mod old sarama sarama github.com/IBM/sarama || status=1
    suite "$2" go.mod new kafkago kafka-go github.com/segmentio/kafka-go || status=1
    exit "$status"
    ;;
esac
