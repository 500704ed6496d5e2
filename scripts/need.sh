#!/usr/bin/env bash
# Fails, with what to do, when a tool is not there.
set -euo pipefail
hint() {
  case $1 in
    cargo) echo "install Rust: https://rustup.rs" ;;
    node | npm) echo "install Node.js 20 or newer: https://nodejs.org" ;;
    cc | make) echo "install a C compiler and make (Debian: apt-get install build-essential)" ;;
    python3) echo "install Python 3.11 or newer" ;;
    go) echo "install Go 1.26 or newer: https://go.dev" ;;
    java | mvn) echo "install a JDK 17 or newer and Maven" ;;
    *) echo "install it" ;;
  esac
}
missing=0
for tool in "$@"; do
  if ! command -v "$tool" >/dev/null; then
    echo "missing: $tool ($(hint "$tool"))" >&2
    missing=1
  fi
done
exit $missing
