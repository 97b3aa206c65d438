#!/usr/bin/env bash
# Usage: scripts/package.sh
#
# Writes to target/package/ an archive that runs from any folder of a machine of the same kind, and, where
# dpkg is installed, a Debian package. scripts/package/tree.sh says what they have, and which variables
# choose: PROGRAM, WITH_CUDA. The same sources give the same files.
source "$(dirname "$0")/common.sh"

command -v zstd >/dev/null || fail "zstd is needed for packages (Debian and Ubuntu: apt install zstd)."
variant=
if with_cuda; then variant=-cuda; fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# Files of the packages get this time. The build must not see it: it would begin anew for each commit.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

name=pointstream-$version-linux-$(uname -m)$variant
mkdir -p target/package
scratch=$(mktemp -d target/package/work.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
scripts/package/tree.sh "$scratch/$name"

say "Writing target/package/$name.tar.zst"
tar --create --directory "$scratch" --sort=name --mtime="@$epoch" --owner=0 --group=0 \
  --numeric-owner --use-compress-program "zstd -6 -T0 --quiet" \
  --file "target/package/$name.tar.zst" "$name"

if command -v dpkg-deb >/dev/null && command -v dpkg-shlibdeps >/dev/null; then
  SOURCE_DATE_EPOCH=$epoch scripts/package/deb.sh "$scratch/$name" "$version" "$variant"
else
  say "No Debian package: dpkg-deb and dpkg-shlibdeps are missing (apt install dpkg-dev)"
fi
ls -lh target/package/*"$version"*
