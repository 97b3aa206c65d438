#!/usr/bin/env bash
# Usage: healthy.sh [PORT]
#
# Whether the server on this machine answers plain HTTP requests, for the health check of the image, which has
# no HTTP client. PORT is by default POINTSTREAM_PORT or 8000.
set -euo pipefail

exec 3<>"/dev/tcp/127.0.0.1/${1:-${POINTSTREAM_PORT:-8000}}"
printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
read -r -t 5 _ status _ <&3
[ "$status" = 200 ]
