#!/usr/bin/env bash
# Usage: healthy.sh [PORT]
#
# Whether the server on this machine answers, for the health check of the image, which has no HTTP client. PORT is by
# default POINTSTREAM_PORT or 8000. With a certificate of its own the server answers a plain request with 400 and
# says that HTTPS is required: it is alive then, too.
set -euo pipefail

exec 3<>"/dev/tcp/127.0.0.1/${1:-${POINTSTREAM_PORT:-8000}}"
printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r -t 5 _ status _ <&3
[ "$status" = 200 ] || { [ "$status" = 400 ] && grep -q https_required <&3; }
