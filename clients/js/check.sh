#!/bin/sh
# Checks the sources of the package, builds it, and runs its tests with a scripted server.
# Needs Node.js 20 or newer. With --build, only builds it.
set -eu

cd "$(dirname "$0")"
if [ ! -f node_modules/.package-lock.json ] ||
    [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --no-audit --no-fund
    touch node_modules/.package-lock.json
fi

if [ "${1:-}" = --build ]; then
    exec node build.mjs
fi
node_modules/.bin/tsc
node_modules/.bin/biome check --error-on-warnings .
node build.mjs
node test/run.mjs
