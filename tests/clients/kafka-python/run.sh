#!/usr/bin/env bash
# kafka-python: the newest and both majors before it. See ../run.sh.
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/suite.sh"

versions="3.0.12 2.0.6 1.4.7"
codecs="crc32c==2.8 lz4==4.4.5 python-snappy==0.7.3 cramjam==2.11.0 zstandard==0.25.0"

case $1 in
  install)
    python_env
    for version in $versions; do python_package "kafka-python==$version" $codecs; done
    ;;
  run)
    status=0
    for version in $versions; do
      PYTHONPATH=$(package_dir "kafka-python==$version") \
        python_suite "$repo/tests/clients/kafka-python" "$2/python/kafka-python/$version" || status=1
    done
    exit "$status"
    ;;
esac
