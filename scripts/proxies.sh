#!/usr/bin/env bash
# Installs nginx and Caddy for the tests of the recipes in docs/deployment.md if they are missing. For
# Debian and Ubuntu, as root or with sudo.
source "$(dirname "$0")/common.sh"

for program in nginx caddy; do
  command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] ||
    install_package "$program" "the tests of reverse proxies"
done
