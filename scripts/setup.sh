#!/usr/bin/env bash
# Usage: scripts/setup.sh [--with-model-tools] [--with-python-tools] [--with-docs-tools]
#   [--with-package-tools]
#
# Creates .venv with libtorch from the locked requirements, and the link .libtorch that
# .cargo/config.toml names. --with-model-tools also installs the packages for fetching models,
# --with-python-tools those of the project's Python code and tests, --with-docs-tools those of the
# documents' site, --with-package-tools those of scripts/package.sh. Installed requirements are
# skipped, so a second run is fast.
#
# WITH_CUDA=1 installs the CUDA libraries on a machine without an NVIDIA GPU, 0 never does.
source "$(dirname "$0")/common.sh"

tools=()
for option in "$@"; do
  case "$option" in
    --with-model-tools) tools+=(models) ;;
    --with-python-tools) tools+=(test) ;;
    --with-docs-tools) tools+=(docs) ;;
    --with-package-tools) tools+=(package) ;;
    *) fail "unknown option '$option'; the first lines of scripts/setup.sh name the known ones." ;;
  esac
done

[ "$(uname -s)" = Linux ] || fail "pointstream runs on Linux only; this system is $(uname -s)."
need_rust
need_compiler

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
if with_cuda; then install cuda --no-deps; fi
for name in "${tools[@]}"; do
  install "$name"
  if [ "$name" = test ]; then
    install oracle --no-deps --ignore-requires-python
    # The Python client of this checkout.
    for site in .venv/lib/python3.*/site-packages; do
      echo "$PWD/clients/python/src" >"$site/pointstream-checkout.pth"
    done
  fi
done

# A relative link, so that the checkout can be moved.
for torch in .venv/lib/python3.*/site-packages/torch; do
  [ -e "$torch/lib/libtorch_cpu.so" ] || fail "$torch does not contain libtorch; remove .venv and retry."
  [ "$(readlink .libtorch || true)" = "$torch" ] || ln -sfn "$torch" .libtorch
done
