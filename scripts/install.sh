#!/usr/bin/env bash
# Usage: [PREFIX=/usr/local] [DESTDIR=] scripts/install.sh
#
# Builds the program and installs it below PREFIX with all that it needs; DESTDIR is put before that, for
# those who make packages. A configuration that is there already stays. scripts/package/tree.sh says what is
# installed, and which variables choose: PROGRAM, WITH_CUDA.
source "$(dirname "$0")/common.sh"

prefix=${PREFIX:-/usr/local}
case "$prefix" in
  /*) ;;
  *) fail "PREFIX must be an absolute path, but it is '$prefix'." ;;
esac
target=${DESTDIR:-}$prefix
mkdir -p target/package
scratch=$(mktemp -d target/package/work.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
scripts/package/tree.sh "$scratch/tree" "$prefix"

mkdir -p "$target"
etc=${DESTDIR:-}/etc
[ "$prefix" = /usr ] || etc=$target/etc
mkdir -p "$etc/pointstream"
[ -e "$etc/pointstream/pointstream.toml" ] || cp "$scratch/tree/etc/pointstream/pointstream.toml" "$etc/pointstream/"
rm -r "$scratch/tree/etc"
# Libraries of an earlier version.
rm -rf "$target/lib/pointstream"
# A program that runs keeps its own file.
cp -r --remove-destination "$scratch/tree/." "$target/"
say "Installed $target/bin/pointstream"
