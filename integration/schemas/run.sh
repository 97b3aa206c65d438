#!/bin/sh
# Checks the API descriptions of the development build with linters and client generators. Any
# warning is a failure. Needs Node.js 20 and a built program.
#
# --python: generates a Python client, too. The generator is installed on first use, into a virtual
# environment in this folder.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT

if [ ! -f "$here/node_modules/.package-lock.json" ] ||
    [ "$here/package-lock.json" -nt "$here/node_modules/.package-lock.json" ]; then
    npm ci --prefix "$here" --no-audit --no-fund
    touch "$here/node_modules/.package-lock.json"
fi
tools="$here/node_modules/.bin"

cd "$repository"
.venv/bin/python integration/schemas/documents.py "$files"

export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
"$tools/redocly" lint --config "$here/redocly.yaml" --format json "$files/openapi.json" \
    > "$files/problems.json" 2> "$files/log" || true
node "$here/lint.mjs" "$files/problems.json" || { cat "$files/log" >&2; exit 1; }
"$tools/openapi-typescript" "$files/openapi.json" --output "$files/rest.ts"
node "$here/models.mjs" "$files/asyncapi.json" "$files/messages.ts"
"$tools/tsc" --noEmit --strict --target es2022 --module esnext "$files/rest.ts" "$files/messages.ts"

if [ "${1:-}" = --python ]; then
    venv="$here/.venv"
    if [ ! -f "$venv/installed" ] || [ "$here/requirements.txt" -nt "$venv/installed" ]; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --require-hashes --requirement "$here/requirements.txt"
        touch "$venv/installed"
    fi
    "$venv/bin/openapi-python-client" generate --path "$files/openapi.json" --meta none \
        --config "$here/python_client.yaml" --output-path "$files/pointstream_client" \
        --fail-on-warning
    PYTHONPATH="$files" "$venv/bin/python" "$here/python_client.py"
fi
