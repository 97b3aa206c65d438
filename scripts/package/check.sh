#!/usr/bin/env bash
# Usage: scripts/package/check.sh ARCHIVE|FOLDER
#
# Unpacks an archive of scripts/package.sh, or copies a tree, and reconstructs the sample scene with its
# program in an empty environment, where this checkout and .venv are hidden if the system allows it.
source "$(dirname "$0")/../common.sh"

[ $# = 1 ] || fail "usage: scripts/package/check.sh ARCHIVE|FOLDER"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# It can be moved, to a name that scripts often get wrong, too.
package="$scratch/moved here"
if [ -d "$1" ]; then
  cp -r --reflink=auto "$1" "$package"
else
  tar --extract --file "$1" --directory "$scratch"
  mv "$scratch"/pointstream-* "$package"
fi
cp -r examples/sample_scene "$scratch/photos"
cp scripts/package/try.sh "$scratch/"

hidden=("$PWD" "$(realpath .venv)")
if unshare --map-root-user --mount true 2>/dev/null; then
  # shellcheck disable=SC2016 # the shell in the namespace expands them
  unshare --map-root-user --mount bash -euc \
    'scratch=$1; shift
     for folder in "$@"; do [ ! -d "$folder" ] || mount -t tmpfs none "$folder"; done
     cd "$scratch"; exec env -i PATH=/usr/bin:/bin HOME="$scratch" bash try.sh' \
    - "$scratch" "${hidden[@]}"
else
  say "The checkout is not hidden: this system has no user namespaces for everyone"
  (cd "$scratch" && exec env -i PATH=/usr/bin:/bin HOME="$scratch" bash try.sh)
fi
