#!/usr/bin/env bash
# Node: kafkajs, both majors, and @platformatic/kafka. See ../run.sh.
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/suite.sh"

cd "$repo/tests/clients/node"

suite() { # results package name tests
  local folder
  folder="$1/node/$3/$(node -p "require('./node_modules/$2/package.json').version")"
  mkdir -p "$folder"
  KAFKAJS="$2" node --test --test-reporter=spec --test-reporter-destination=stdout \
    --test-reporter=junit --test-reporter-destination="$folder/results.xml" "$4"
}

case $1 in
  install)
    "$repo/scripts/need.sh" node npm
    if ! cmp -s package-lock.json node_modules/.installed; then
      say "installing the Node client tests' packages"
      npm ci --loglevel=error
      cp package-lock.json node_modules/.installed
    fi
    ;;
  run)
    status=0
    suite "$2" kafkajs kafkajs kafkajs.test.mjs || status=1
    suite "$2" kafkajs-1 kafkajs kafkajs.test.mjs || status=1
    suite "$2" @platformatic/kafka platformatic-kafka platformatic.test.mjs || status=1
    exit "$status"
    ;;
esac
