#!/usr/bin/env bash
# Installs Chromium for the tests of the pages if it is missing. For Debian and Ubuntu, as root or
# with sudo.
source "$(dirname "$0")/common.sh"

command -v chromium >/dev/null || command -v chromium-browser >/dev/null && exit
install_package chromium "the tests of the pages"
