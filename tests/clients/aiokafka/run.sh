#!/usr/bin/env bash
# aiokafka: the newest, and the oldest that has a wheel for Python 3.11. See ../run.sh.
set -euo pipefail
# shellcheck source=tests/lib/suite.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../lib/suite.sh"

newest=0.14.0 oldest=0.8.1

case $1 in
  install)
    python_env
    python_package aiokafka==$newest async-timeout==5.0.1 typing_extensions==4.16.0 cramjam==2.11.0
    python_package aiokafka==$oldest async-timeout==5.0.1 kafka-python==2.0.2 \
      cramjam==2.11.0 python-snappy==0.7.3 lz4==4.4.5 zstandard==0.25.0
    ;;
  run)
    status=0
    for version in $newest $oldest; do
      PYTHONPATH=$(package_dir aiokafka==$version) \
        python_suite "$repo/tests/clients/aiokafka" "$2/python/aiokafka/$version" || status=1
    done
    exit "$status"
    ;;
esac
