#!/bin/sh
# Drives the pages in a real Chromium, against the development build of the program.
#
# Without Chromium nothing is tested, and that is said; where CI is set it is an error. With
# --screenshots the pictures under docs/images/ are taken anew: POINTSTREAM_SCREENSHOTS names that
# folder to the test which takes them. Other arguments name test files.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
chromium=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || true)}
if [ -z "$chromium" ] || [ ! -x "$chromium" ]; then
    advice="Chromium is not installed (Debian: apt install chromium; CHROMIUM names another one)"
    if [ -n "${CI:-}" ]; then
        echo "error: $advice, and the tests of the pages need it" >&2
        exit 1
    fi
    echo "SKIPPED: the tests of the pages; $advice" >&2
    exit 0
fi
export CHROMIUM="$chromium"

if [ ! -f "$here/node_modules/.package-lock.json" ] ||
    [ "$here/package-lock.json" -nt "$here/node_modules/.package-lock.json" ]; then
    npm ci --prefix "$here" --no-audit --no-fund
    touch "$here/node_modules/.package-lock.json"
fi

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

# One after the other: each keeps a processor busy with the model and another with drawing.
node --test --test-concurrency=1 "$@"
