#!/usr/bin/env bash
# Makes a fresh Debian a machine that netfw can be tried on; runs as root in the guest.
# In a box of `make vm-box` all of it is there already, and this only looks.
set -euo pipefail
cd /netfw
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# make itself is what a minimal box lacks.
if ! command -v make >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends make
fi
make setup
