#!/usr/bin/env bash
# Usage: scripts/package/deb.sh TREE VERSION VARIANT
#
# Makes the Debian package target/package/pointstream[-cuda]_VERSION_ARCH.deb of a tree. It moves the tree
# into the package. VARIANT is empty or -cuda.
source "$(dirname "$0")/../common.sh"

tree=$1
version=$2
variant=$3
package=pointstream$variant
architecture=$(dpkg --print-architecture)
output=target/package/${package}_${version}_$architecture.deb
root=$(dirname "$tree")/deb
say "Writing $output"

mkdir -p "$root/DEBIAN" "$root/usr"
mv "$tree"/* "$root/usr/"
mv "$root/usr/etc" "$root/etc"
sed -i "s|/usr/local/etc|/etc|g; s|/usr/local|/usr|g" "$root/usr/lib/systemd/system/pointstream.service"
# Debian's names for both files.
doc=$root/usr/share/doc/$package
[ "$package" = pointstream ] || mv "$root/usr/share/doc/pointstream" "$doc"
cat "$doc/LICENSE" "$doc/THIRD_PARTY_NOTICES.txt" >"$doc/copyright"
rm "$doc/LICENSE" "$doc/THIRD_PARTY_NOTICES.txt"
gzip -9n <"$doc/CHANGELOG.md" >"$doc/changelog.gz"
rm "$doc/CHANGELOG.md"

# Which versions of the system's libraries the program needs. The tool wants to see a source package.
mkdir -p "$root.source/debian"
printf 'Source: pointstream\n\nPackage: %s\nArchitecture: any\n' "$package" >"$root.source/debian/control"
libraries=$(realpath "$root/usr/lib/pointstream")
program=$(realpath "$root/usr/bin/pointstream")
depends=$(cd "$root.source" && dpkg-shlibdeps -O -l"$libraries" --ignore-missing-info -e"$program" \
  -e"$libraries/libtorch_cpu.so" -e"$libraries/libc10.so" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$depends" ] || fail "dpkg-shlibdeps found no dependencies of $program"

conflicts=pointstream-cuda
[ -z "$variant" ] || conflicts=pointstream
cat >"$root/DEBIAN/control" <<CONTROL
Package: $package
Version: $version
Architecture: $architecture
Maintainer: The authors of pointstream <noreply@pointstream.invalid>
Section: graphics
Priority: optional
Homepage: $(sed -n 's/^repository = "\(.*\)"/\1/p' Cargo.toml)
Depends: $depends
Recommends: systemd
Suggests: ffmpeg
Conflicts: $conflicts
Replaces: $conflicts
Installed-Size: $(du -sk --apparent-size "$root/usr" | cut -f1)
Description: service that turns a live stream of photos into a 3D point cloud
 Clients stream photos over a WebSocket and get a point cloud that grows, and the poses of the
 cameras. The program also makes a point cloud of a folder of photos or a video by itself.
CONTROL
install -m 755 deploy/debian/{postinst,prerm,postrm} "$root/DEBIAN/"
echo /etc/pointstream/pointstream.toml >"$root/DEBIAN/conffiles"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
chmod 644 "$root"/DEBIAN/{control,conffiles,md5sums}
chmod 755 "$root" "$root/DEBIAN" "$root/etc"
dpkg-deb --root-owner-group -Zzstd -z6 --build "$root" "$output" >/dev/null
