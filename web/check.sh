#!/bin/sh
# Checks the pages' sources, runs their unit tests, and builds the pages anew: what is committed
# must be what the sources give. Needs Node.js 20. With --write the committed pages are replaced.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
cd "$here"
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT

if [ ! -f node_modules/.package-lock.json ] ||
    [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --no-audit --no-fund
    touch node_modules/.package-lock.json
fi

node_modules/.bin/tsc
node_modules/.bin/biome check --error-on-warnings . ../integration/browser
node test/run.mjs

if [ "${1:-}" = --write ]; then
    node build.mjs
    exit
fi

node build.mjs "$built"
for page in "$built"/*.html; do
    case $(basename "$page") in
        client.html) committed=../examples/websocket_client.html ;;
        *) committed=dist/$(basename "$page") ;;
    esac
    if ! cmp -s "$page" "$committed"; then
        echo "error: web/$committed is not what web/src gives; run web/check.sh --write" >&2
        exit 1
    fi
done
echo "the pages are what their sources give"
