#!/bin/sh
# Validates /asyncapi.json of the development build with AsyncAPI's published schema.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
if [ ! -f "$here/node_modules/.package-lock.json" ] ||
    [ "$here/package-lock.json" -nt "$here/node_modules/.package-lock.json" ]; then
    npm ci --prefix "$here" --no-audit --no-fund
    touch "$here/node_modules/.package-lock.json"
fi

cd "$repository"
exec .venv/bin/python integration/asyncapi/validate.py
