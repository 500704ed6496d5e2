# Shared by the suites' run.sh: what they need is installed here, once, with a
# word about what is being done. Sourced, never run.

repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# pip's and Maven's downloads may meet a slow moment: they retry by themselves.
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '== %s\n' "$*"; }

need() {
  local tool missing=0
  for tool in "$@"; do
    if ! command -v "$tool" >/dev/null; then
      printf 'error: %s is needed and not on PATH\n' "$tool" >&2
      missing=1
    fi
  done
  [ "$missing" = 0 ] || exit 1
}

# Suites run side by side: what they share is installed by one of them, the
# others wait for it.
once_at_a_time() { # name command...
  mkdir -p "$repo/tests/output"
  exec 8>"$repo/tests/output/.$1.lock"
  flock 8
  "${@:2}"
  exec 8>&-
}

# The Python environment of all suites, from tests/requirements.txt. Built again
# when that file changes.
python_env() {
  need python3
  venv="$repo/tests/.venv"
  once_at_a_time python install_python
}
install_python() {
  local stamp="$venv/.installed"
  if ! cmp -s "$repo/tests/requirements.txt" "$stamp"; then
    say "installing the Python packages of tests/requirements.txt into tests/.venv"
    [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --progress-bar off -q -r "$repo/tests/requirements.txt"
    cp "$repo/tests/requirements.txt" "$stamp"
  fi
}

# Apache Kafka's server and tools, from their published jars.
kafka_jars() {
  need java mvn
  once_at_a_time kafka-jars install_kafka_jars
}
install_kafka_jars() {
  local module="$repo/tests/kafka-tools"
  if ! cmp -s "$module/pom.xml" "$module/target/pom.fetched"; then
    say "fetching Apache Kafka's jars with Maven into tests/kafka-tools/target/jars"
    rm -rf "$module/target/jars"
    mvn -B -q -f "$module/pom.xml" dependency:copy-dependencies -DoutputDirectory=target/jars
    cp "$module/pom.xml" "$module/target/pom.fetched"
  fi
}

# Runs a command beside a server: BOOTSTRAP if given, else one of kind $SERVER
# (millstream by default, kafka for the reference).
with_server() {
  if [ "${SERVER:-millstream}" = kafka ] && [ -z "${BOOTSTRAP:-}" ]; then kafka_jars; fi
  python3 "$repo/tests/lib/servers.py" run -- "$@"
}

# Where another version of a Python package than the one in tests/.venv is:
# its folder goes first on PYTHONPATH.
package_dir() { printf '%s/tests/.venv/versions/%s\n' "$repo" "$1"; }

# Installs a package and what it needs into its folder, each with its version.
python_package() { # name==version ...
  once_at_a_time python install_python_package "$@"
}
install_python_package() {
  local folder
  folder=$(package_dir "$1")
  if [ "$(cat "$folder/.installed" 2>/dev/null)" != "$*" ]; then
    say "installing $* for Python"
    rm -rf "$folder"
    "$repo/tests/.venv/bin/pip" install --progress-bar off -q --only-binary :all: --no-deps --target "$folder" "$@"
    printf '%s\n' "$*" >"$folder/.installed"
  fi
}

# Runs a folder of Python tests and leaves their results in another.
python_suite() { # tests results arguments...
  mkdir -p "$2"
  "$repo/tests/.venv/bin/python" -m pytest "$1" --junitxml="$2/results.xml" "${@:3}"
}
