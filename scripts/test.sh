#!/usr/bin/env bash
# Usage: scripts/test.sh [STEP...]
#
# Runs all checks below, some in parallel. With arguments, runs only the named steps, one after
# another.
source "$(dirname "$0")/common.sh"

build_rust() {
  say "Formatting of Rust"
  cargo fmt --all --check

  say "Crates that must not depend on libtorch"
  local crate tree
  for crate in pointstream-actors pointstream-client pointstream-reconstruction; do
    tree=$(cargo tree --locked --package "$crate" --edges normal,build,dev --prefix none)
    if grep -qE '^(tch|torch-sys|pointstream-inference) ' <<<"$tree"; then
      fail "$crate depends on libtorch; only pointstream-inference and the program may." \
        "See: cargo tree -p $crate -e normal,build,dev -i torch-sys"
    fi
  done

  say "Building the program and its tests"
  cargo test --locked --workspace --no-run
}

lint_rust() {
  say "Lints of Rust"
  # At the lowest priority: it runs beside tests that have time limits.
  nice -n 19 cargo clippy --locked --workspace --all-targets -- -D warnings
}

check_python() {
  scripts/setup.sh --with-python-tools --with-docs-tools

  say "Formatting and lints of Python, spelling, shell scripts"
  .venv/bin/ruff format --check
  .venv/bin/ruff check
  .venv/bin/typos
  # PyPI has ShellCheck for x86-64 only.
  if [ -x .venv/bin/shellcheck ]; then
    git ls-files -z | xargs -0 grep -lE '^#!.*(sh|bash)$' | xargs .venv/bin/shellcheck
  fi

  say "Documents and their links, files for deployment"
  scripts/docs.sh
  scripts/check-deploy.sh

  say "Python tests"
  # Networks this small gain nothing from several threads. Tests in one file share their fixtures.
  # The client meets the program in test_client: here it may be half built.
  POINTSTREAM_TEST_BINARY='' OMP_NUM_THREADS=1 \
    .venv/bin/python -m pytest --numprocesses 2 --dist loadfile
}

test_client() {
  # The Rust tests write them, too.
  local archives=$PWD/target/tmp/archives
  [ -d "$archives" ] || .venv/bin/python -m weights.tests.archives "$archives"
  local -x POINTSTREAM_TEST_BINARY=$PWD/target/debug/pointstream
  local -x POINTSTREAM_TEST_ARCHIVES=$archives

  say "The Python client with the program"
  .venv/bin/python -m pytest --numprocesses 2 --dist loadfile clients/python/tests

  say "The TypeScript client with the program"
  # Its examples use the built package.
  clients/js/check.sh --build
  (cd clients/js && node test/run.mjs test/real/*.test.ts)

  say "The Rust client with the program"
  # With the features of the whole workspace, so that nothing is built again.
  cargo test --locked --workspace --test real
}

check_pages() {
  say "The pages: checks, unit tests, and whether they match their sources"
  web/check.sh

  say "The TypeScript client: checks, the package, tests with a scripted server"
  clients/js/check.sh
}

check_licenses() {
  say "Licences of dependencies"
  .venv/bin/python scripts/notices.py target/notices
}

test_rust() {
  say "Rust tests, end-to-end tests among them"
  # Most end-to-end tests wait for the program more than they compute.
  RUST_TEST_THREADS=$((2 * $(nproc))) cargo test --locked --workspace
}

check_glb() {
  say "Validation of GLB files"
  integration/glb/run.sh
}

check_package() {
  say "The program without this checkout"
  PROGRAM=target/debug/pointstream WITH_CUDA=0 scripts/package/tree.sh target/package/dev
  scripts/package/check.sh target/package/dev
}

check_schemas() {
  say "The descriptions of both interfaces: linters and code generators"
  integration/schemas/run.sh
}

test_browser() {
  say "The pages in a real Chromium"
  integration/browser/run.sh
}

need_node
need_rust
scripts/setup.sh

if [ $# -gt 0 ]; then
  for step in "$@"; do
    [ "$(type -t "$step")" = function ] || fail "there is no step '$step'."
    "$step"
  done
  exit
fi

# None of these depends on timing, so they may run in parallel.
together build_rust check_python check_pages
# Tests of the running program have time limits. They leave a core idle much of the time, which
# goes to the lints.
together test_rust lint_rust
together check_glb check_schemas check_licenses check_package test_client
test_browser
say "All checks passed"
