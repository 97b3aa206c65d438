#!/usr/bin/env bash
# Makes point clouds of ./photos with the package in "./moved here". scripts/package/check.sh calls it.
set -euo pipefail

package="$PWD/moved here"
program="$package/bin/pointstream"

fail() {
  echo "error: $*" >&2
  exit 1
}

echo "==> A point cloud without a server"
"$program" --version
"$program" reconstruct photos -o scene.glb --json >report.json
[ "$(head -c 4 scene.glb)" = glTF ] || fail "scene.glb is no GLB file"
grep -q '"verdict": *"good"' report.json || fail "the verdict is not good: $(cat report.json)"

echo "==> A point cloud from a server with the configuration of the package"
"$program" --config "$package/etc/pointstream/pointstream.toml" --data-dir data --model-store models \
  --port 0 >stdout 2>log &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
until url=$(sed -n 's/^listening on //p' stdout) && [ -n "$url" ]; do
  kill -0 "$server" 2>/dev/null || fail "the server ended: $(cat log)"
  sleep 0.1
done
photos=()
for photo in photos/*.jpg; do photos+=(-F "images=@$photo"); done
# It loads its model first.
curl --silent --fail --retry 60 --retry-delay 1 --retry-all-errors --output /dev/null "$url/readyz"
curl --silent --show-error --fail --dump-header headers --output served.glb "${photos[@]}" "$url/reconstruct"
[ "$(head -c 4 served.glb)" = glTF ] || fail "the server's result is no GLB file"
grep -qi '^x-quality: good' headers || fail "the server's verdict is not good: $(cat headers)"
curl --silent --show-error --fail --output page.html "$url/"
grep -q '<title>pointstream' page.html || fail "there is no page"

# Code that runs is in the package, or belongs to the C and C++ libraries of the system.
system='^(/usr)?/lib[^ ]*/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|util|resolv|nss_[a-z]+|stdc\+\+|gcc_s)\.so[.0-9]*)$'
foreign=$(awk '$2 ~ /x/ && $6 ~ /^\// { $1 = $2 = $3 = $4 = $5 = ""; print substr($0, 6) }' "/proc/$server/maps" |
  grep -v -e "^$package/" | grep -vE "$system" | sort -u || true)
[ -z "$foreign" ] || fail "the program has loaded code from elsewhere:" "$foreign"
kill "$server"
wait "$server" || fail "the server ended with $?"
trap - EXIT
echo "==> The package works"
