#!/usr/bin/env bash
# Writes the licence texts of everything that goes into the binary:
# notices/rust.txt and notices/web.txt, which `millstream licenses` prints.
# To run again when a dependency has changed; a test says so.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/need.sh cargo node npm
cargo about --version >/dev/null 2>&1 || cargo install --locked --features cli cargo-about@0.9.3
cargo about generate --locked --fail -c notices/about.toml -m crates/millstream/Cargo.toml notices/about.hbs -o notices/rust.txt
# C libraries inside of crates, which have licences of their own.
folder_of() {
  cargo metadata --locked --format-version 1 |
    node -e 'const all = JSON.parse(require("fs").readFileSync(0)).packages; console.log(require("path").dirname(all.find((p) => p.name === process.argv[1]).manifest_path))' "$1"
}
c_library() { # crate, licence inside of it
  printf '\n================================================================================\nC sources in the crate %s\n' "$1"
  printf -- '--------------------------------------------------------------------------------\n\n'
  cat "$(folder_of "$1")/$2"
}
{
  c_library rdkafka-sys librdkafka/LICENSES.txt
  c_library zstd-sys zstd/LICENSE
  c_library libz-sys src/zlib/LICENSE
} >>notices/rust.txt
make --no-print-directory web/node_modules/.installed
node web/notices.mjs >notices/web.txt
wc -c notices/*.txt
