#!/usr/bin/env bash
# Usage: scripts/sanitize.sh [address|thread]...
#
# Unit tests of the crates that have unsafe code under the sanitizers of a nightly toolchain: the calls of
# libtorch, CUDA and the C library. Only the Rust code is instrumented, as far as its source is there: not
# the standard library, unless the toolchain has rust-src, and not libtorch. The sanitizers still see what
# both allocate, free and lock.
source "$(dirname "$0")/common.sh"

scripts/setup.sh >&2
need_rust
toolchain=${SANITIZER_TOOLCHAIN:-nightly}
rustc "+$toolchain" --version >/dev/null 2>&1 ||
  fail "the toolchain $toolchain is needed; try 'rustup toolchain install $toolchain'," \
    "or name another one in SANITIZER_TOOLCHAIN."
host=$(rustc "+$toolchain" -vV | sed -n 's/^host: //p')
std=()
if [ -d "$(rustc "+$toolchain" --print sysroot)/lib/rustlib/src/rust/library" ]; then
  std=(-Zbuild-std)
fi

# test_with SANITIZER ARGUMENT...: runs the tests that the arguments of cargo select.
test_with() {
  local sanitizer=$1
  shift
  say "Tests with the sanitizer $sanitizer: $*"
  # With a target, build scripts and macros are built without the sanitizer.
  RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer" \
    CARGO_TARGET_DIR="target/sanitize-$sanitizer" \
    cargo "+$toolchain" test --locked "${std[@]}" --target "$host" "$@"
}

[ $# -gt 0 ] || set -- address thread
for sanitizer in "$@"; do
  case $sanitizer in
    address)
      # libtorch keeps memory until the process ends.
      export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}
      test_with address --package pointstream-inference --lib --tests
      test_with address --package pointstream --bins
      ;;
    thread)
      # Without this, each lock inside libtorch would be unknown.
      export TSAN_OPTIONS=${TSAN_OPTIONS:-ignore_noninstrumented_modules=1}
      test_with thread --package pointstream-inference --lib --tests
      ;;
    *) fail "unknown sanitizer $sanitizer; known are address and thread." ;;
  esac
done
