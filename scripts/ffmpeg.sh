#!/usr/bin/env bash
# Installs ffmpeg for the tests of videos if it is missing. For Debian and Ubuntu, as root or with
# sudo.
source "$(dirname "$0")/common.sh"

command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null && exit
install_package ffmpeg "the tests of videos"
