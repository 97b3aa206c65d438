#!/bin/sh
# Checks the pages' sources, runs their unit tests and builds the pages. The committed pages must be
# the ones built from the sources. Needs Node.js 20. With --write, replaces the committed pages.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
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
(cd "$built" && find . -type f) | while read -r page; do
    if ! cmp -s "$built/$page" "$root/$page"; then
        echo "error: $page is not what web/src gives; run web/check.sh --write" >&2
        exit 1
    fi
done
echo "the committed pages match their sources"
