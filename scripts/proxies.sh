#!/usr/bin/env bash
# Installs nginx, Caddy and HAProxy for the tests of the recipes in docs/deployment.md and deploy/ if they are
# missing. For Debian and Ubuntu, as root or with sudo.
source "$(dirname "$0")/common.sh"

for program in nginx caddy haproxy; do
  command -v "$program" >/dev/null || [ -x "/usr/sbin/$program" ] ||
    install_package "$program" "the tests of reverse proxies"
done
