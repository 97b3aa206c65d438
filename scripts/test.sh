#!/usr/bin/env bash
# Every check there is, the quick ones first.
source "$(dirname "$0")/common.sh"

scripts/setup.sh --for-tests
need_rust

say "Formatting and lints"
cargo fmt --all --check
.venv/bin/ruff format --check
.venv/bin/ruff check
cargo clippy --locked --workspace --all-targets -- -D warnings

say "Rust tests, with the end-to-end tests against the release build"
cargo build --locked --release --bin pointstream
cargo test --locked --workspace

say "Python tests"
.venv/bin/python -m pytest

say "All checks passed"
