#!/bin/sh
# Tests the pages in a real Chromium, against the development build of the program.
#
# Usage: integration/browser/run.sh [--screenshots | FILE...]
#
# --screenshots replaces the pictures in docs/images/. FILE is a test file. Without Chromium the
# tests are skipped with a message; with CI set that is an error.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
if [ -z "$chromium" ] || [ ! -x "$chromium" ]; then
    advice="Chromium is not installed (Debian: apt install chromium; or set CHROMIUM to its path)"
    if [ -n "${CI:-}" ]; then
        echo "error: $advice; the browser tests need it" >&2
        exit 1
    fi
    echo "SKIPPED: browser tests; $advice" >&2
    exit 0
fi
export CHROMIUM="$chromium"

if [ ! -f "$here/node_modules/.package-lock.json" ] ||
    [ "$here/package-lock.json" -nt "$here/node_modules/.package-lock.json" ]; then
    npm ci --prefix "$here" --no-audit --no-fund
    touch "$here/node_modules/.package-lock.json"
fi

# A page of a test uses the built TypeScript client.
"$here/../../clients/js/check.sh" --build

cd "$here"
if [ "${1:-}" = --screenshots ]; then
    POINTSTREAM_SCREENSHOTS=$(cd ../.. && pwd)/docs/images
    export POINTSTREAM_SCREENSHOTS
    set -- screenshots.test.mjs
fi
[ $# -gt 0 ] || set -- *.test.mjs
archives=$(mktemp -d)
trap 'rm -rf "$archives"' EXIT
(cd ../.. && .venv/bin/python -m weights.tests.archives "$archives")
export POINTSTREAM_TEST_ARCHIVES="$archives"

# One at a time: each test uses one core for the model and another for rendering.
node --test --test-concurrency=1 --test-timeout=300000 "$@"
