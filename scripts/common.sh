# Sourced by the other scripts: changes to the repository's root and defines functions.
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# As in the server: libtorch's threads spin only briefly while they wait for each other. Longer
# spinning makes them many times slower where more threads than cores run.
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-1000}

# fail MESSAGE...: prints an error and exits.
fail() {
  echo "error: $*" >&2
  exit 1
}

# say MESSAGE...: announces a step that takes time.
say() {
  echo "==> $*"
}

# together STEP...: runs functions in parallel. Prints the output of each in the order of the
# arguments, and fails if one failed. All run to their end, so that one run shows every failure.
together() {
  local logs step failed=() pids=()
  declare -A pid_of
  logs=$(mktemp -d)
  # Each in its own process group, so that an interrupt ends all processes that the steps started.
  set -m
  for step in "$@"; do
    (
      set -e
      "$step"
    ) >"$logs/$step" 2>&1 </dev/null &
    pid_of[$step]=$!
  done
  set +m
  pids=("${pid_of[@]}")
  # shellcheck disable=SC2064 # the processes of this call
  trap "kill -- ${pids[*]/#/-} 2>/dev/null; rm -rf '$logs'" EXIT
  for step in "$@"; do
    if ! wait "${pid_of[$step]}"; then failed+=("$step"); fi
    cat "$logs/$step"
  done
  trap - EXIT
  rm -r "$logs"
  [ "${#failed[@]}" = 0 ] || fail "failed: ${failed[*]}"
}

# at_least VERSION MINIMUM: whether a dotted version is new enough.
at_least() {
  [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

need_rust() {
  if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
    export PATH="$HOME/.cargo/bin:$PATH"
  fi
  local minimum found
  minimum=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  command -v cargo >/dev/null && command -v rustc >/dev/null ||
    fail "Rust $minimum or newer is needed; see https://rustup.rs."
  found=$(rustc --version | awk '{ print $2 }')
  at_least "${found%%-*}" "$minimum" ||
    fail "Rust $minimum or newer is needed, but rustc is $found; try 'rustup update stable'."
}

# pointstream ARGUMENT...: runs the release build of the program.
pointstream() {
  cargo run --quiet --release --locked --bin pointstream -- "$@"
}

# has_gpu: whether the NVIDIA driver is loaded. The last path is WSL's.
has_gpu() {
  [ -e /proc/driver/nvidia/version ] || [ -e /dev/nvidiactl ] ||
    [ -e /usr/lib/wsl/lib/libcuda.so.1 ]
}

# with_cuda: whether the CUDA libraries are wanted. WITH_CUDA=1 wants them on a machine without an
# NVIDIA GPU, 0 never does.
with_cuda() {
  case "${WITH_CUDA:-auto}" in
    auto) has_gpu ;;
    1) true ;;
    0) false ;;
    *) fail "WITH_CUDA must be 0 or 1, but it is '$WITH_CUDA'." ;;
  esac
}

need_compiler() {
  command -v "${CXX:-c++}" >/dev/null && command -v cc >/dev/null ||
    fail "a C and C++ compiler is needed (Debian and Ubuntu: apt install build-essential)."
}

need_node() {
  local advice="Node.js 20 or newer with npm is needed for the tests; see https://nodejs.org"
  local found
  command -v node >/dev/null && command -v npm >/dev/null || fail "$advice."
  found=$(node --version)
  at_least "${found#v}" 20 || fail "$advice (node is $found)."
}

# install_package PACKAGE PURPOSE: installs it with apt, as root or with sudo.
install_package() {
  local package=$1 purpose=$2 as_root=()
  command -v apt-get >/dev/null ||
    fail "$package is needed for $purpose; install it with this system's packages."
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || fail "$package is missing, and only root can install it."
    as_root=(sudo)
  fi
  say "Installing $package"
  "${as_root[@]}" apt-get update
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "$package"
}

# find_python: prints a Python that can create the virtual environment. PYTHON overrides the choice.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python3.10}; do
    if "$candidate" - <<'PYTHON' 2>/dev/null; then
import sys, venv, ensurepip
sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))
PYTHON
      command -v "$candidate"
      return
    fi
  done
  fail "Python 3.10 to 3.14 with venv is needed" \
    "(Debian and Ubuntu: apt install python3 python3-venv)."
}

# prepare_quick_model: builds the program, and writes a quick archive, whose path is then in quick_model.
prepare_quick_model() {
  scripts/setup.sh --with-python-tools >&2
  need_rust
  cargo build --release --locked --bin pointstream >&2
  .venv/bin/python -m weights.tests.archives target/archives >&2
  # shellcheck disable=SC2034 # for the caller
  quick_model=target/archives/flat.pt
}
