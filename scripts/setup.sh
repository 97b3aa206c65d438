#!/usr/bin/env bash
# Usage: scripts/setup.sh [--with-model-tools | --with-python-tools]
#
# Creates .venv with libtorch from the locked requirements, and the link .libtorch that
# .cargo/config.toml names. --with-model-tools also installs the packages for fetching models,
# --with-python-tools those of the project's Python code and tests. Installed requirements are
# skipped, so a second run is fast.
#
# WITH_CUDA=1 installs the CUDA libraries on a machine without an NVIDIA GPU, 0 never does.
source "$(dirname "$0")/common.sh"

case "${1:-}" in
  "") tools= ;;
  --with-model-tools) tools="models" ;;
  --with-python-tools) tools="test" ;;
  *) fail "unknown option '$1'; known are --with-model-tools and --with-python-tools." ;;
esac

[ "$(uname -s)" = Linux ] || fail "pointstream runs on Linux only; this system is $(uname -s)."
need_rust
need_compiler

# has_gpu: whether the NVIDIA driver is loaded. The last path is WSL's.
has_gpu() {
  [ -e /proc/driver/nvidia/version ] || [ -e /dev/nvidiactl ] ||
    [ -e /usr/lib/wsl/lib/libcuda.so.1 ]
}

# install NAME [PIP OPTION...]: installs requirements/NAME.txt, unless the same file was installed
# before. A copy in the virtual environment records that.
install() {
  local name=$1
  shift
  cmp -s "requirements/$name.txt" ".venv/installed/$name.txt" && return
  say "Installing requirements/$name.txt into .venv"
  .venv/bin/python -m pip install --disable-pip-version-check --require-hashes \
    --only-binary :all: --no-compile --progress-bar off "$@" -r "requirements/$name.txt" ||
    fail "could not install requirements/$name.txt; see the output of pip above."
  mkdir -p .venv/installed
  cp "requirements/$name.txt" ".venv/installed/$name.txt"
}

# Replace a virtual environment whose Python no longer works, for example after a system upgrade.
if ! .venv/bin/python -c "" 2>/dev/null; then
  python=$(find_python)
  say "Making the virtual environment .venv with $python"
  "$python" -m venv --clear .venv
fi

install libtorch --no-deps
case "${WITH_CUDA:-auto}" in
  auto) if has_gpu; then install cuda --no-deps; fi ;;
  1) install cuda --no-deps ;;
  0) ;;
  *) fail "WITH_CUDA must be 0 or 1, but it is '$WITH_CUDA'." ;;
esac
if [ -n "$tools" ]; then install "$tools"; fi
if [ "$tools" = test ]; then install oracle --no-deps --ignore-requires-python; fi

# A relative link, so that the checkout can be moved.
for torch in .venv/lib/python3.*/site-packages/torch; do
  [ -e "$torch/lib/libtorch_cpu.so" ] || fail "$torch does not contain libtorch; remove .venv and retry."
  [ "$(readlink .libtorch || true)" = "$torch" ] || ln -sfn "$torch" .libtorch
done
