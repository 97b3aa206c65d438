#!/usr/bin/env bash
# Installs Chromium, which the tests of the pages need, if it is not there. For Debian and Ubuntu,
# as root or with sudo.
source "$(dirname "$0")/common.sh"

command -v chromium >/dev/null || command -v chromium-browser >/dev/null && exit
install_package chromium "the tests of the pages"
