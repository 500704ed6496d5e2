#!/usr/bin/env bash
# Installs the Debian packages that tests use, those that are missing only.
set -euo pipefail
declare -A packages=(
  [chromium]=chromium
  [fc-list]=fontconfig
  [curl]=curl
  [jq]=jq
  [kcat]=kcat
)
wanted=()
for tool in "${!packages[@]}"; do
  command -v "$tool" >/dev/null || wanted+=("${packages[$tool]}")
done
if ! fc-list :lang=zh-cn 2>/dev/null | grep -q .; then
  wanted+=(fonts-noto-cjk)
fi
if [[ ${#wanted[@]} -eq 0 ]]; then
  echo "all there"
  exit 0
fi
echo "installing Debian packages: ${wanted[*]}"
if [[ $(id -u) -ne 0 ]]; then
  echo "not root: install them yourself, then run this again: apt-get install ${wanted[*]}" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${wanted[@]}" >/dev/null
echo "installed"
