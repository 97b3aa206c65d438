#!/bin/sh
# Writes GLB files of all kinds, validates them with the Khronos validator, and compares compressed
# with plain ones in three.js. Also checks that both checks can fail. Needs Node.js 20 and cargo.
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
# Built with the features of the whole workspace, as the tests are: nothing is built twice.
cargo build --quiet --workspace --example glb_samples
"${CARGO_TARGET_DIR:-target}/debug/examples/glb_samples" "$files"

# must_fail SCRIPT FILE...: runs a check that has to fail.
must_fail() {
    if node "$@" > "$files/broken/report" 2>&1; then
        cat "$files/broken/report"
        echo "accepted: $*" >&2
        exit 1
    fi
}

# The validator refuses a truncated file, a missing file, an unexpected extension, and compressed
# points outside the bounds that the file states.
mkdir "$files/broken"
head -c 1000 "$files/cameras.glb" > "$files/broken/cut.glb"
cp "$files/cameras.meshopt.glb" "$files/broken/unexpected.glb"
LC_ALL=C sed 's/"max":\[32767,/"max":[32766,/' "$files/cameras.meshopt.glb" \
    > "$files/broken/bounds.meshopt.glb"
cmp -s "$files/cameras.meshopt.glb" "$files/broken/bounds.meshopt.glb" && exit 1
for broken in cut absent unexpected bounds.meshopt; do
    must_fail "$here/validate.mjs" "$files/broken/$broken.glb"
done
node "$here/validate.mjs" "$files"/*.glb

# The comparison refuses files of another scene and a file that is not compressed.
cp "$files/cameras.glb" "$files/broken/plain.quantized.glb"
for broken in one_camera.meshopt no_points.quantized no_frustums.meshopt broken/plain.quantized; do
    must_fail "$here/compare.mjs" "$files/cameras.glb" "$files/$broken.glb"
done
for plain in "$files"/*.glb; do
    # The comparison knows one cloud in a file, not the frames of an update, and no mesh.
    case $plain in *.quantized.glb | *.meshopt.glb | */frames.glb | */mesh.glb) continue ;; esac
    node "$here/compare.mjs" "$plain" "${plain%.glb}.quantized.glb" "${plain%.glb}.meshopt.glb"
done
