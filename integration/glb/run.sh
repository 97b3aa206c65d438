#!/bin/sh
# Writes GLB files of all kinds with the real writer and validates them, and checks that the
# validation can fail. Needs Node.js 20 and cargo.
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

cd "$repository"
cargo run --quiet --package pointstream-reconstruction --example glb_samples -- "$files"

# A file that is cut off, or that is not there, must not pass.
mkdir "$files/broken"
head -c 1000 "$files/cameras.glb" > "$files/broken/cut.glb"
for broken in "$files/broken/cut.glb" "$files/broken/absent.glb"; do
    if node "$here/validate.mjs" "$broken" > "$files/broken/report" 2>&1; then
        cat "$files/broken/report"
        echo "the validator accepts $(basename "$broken")" >&2
        exit 1
    fi
done

node "$here/validate.mjs" "$files"/*.glb
