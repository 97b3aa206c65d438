#!/usr/bin/env bash
# Installs Chromium, which the tests of the pages need, if it is not there. For Debian and Ubuntu,
# as root or with sudo.
source "$(dirname "$0")/common.sh"

command -v chromium >/dev/null || command -v chromium-browser >/dev/null && exit

command -v apt-get >/dev/null ||
  fail "Chromium is needed for the tests of the pages; install it with this system's packages."
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || fail "Chromium is missing, and only root can install it."
  as_root=(sudo)
fi
say "Installing Chromium"
"${as_root[@]}" apt-get update
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
  apt-get install -y --no-install-recommends chromium
