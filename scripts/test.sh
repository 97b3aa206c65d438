#!/usr/bin/env bash
# Every check there is, the quick ones first.
source "$(dirname "$0")/common.sh"

need_node
scripts/setup.sh --with-python-tools
need_rust

say "Formatting and lints"
cargo fmt --all --check
.venv/bin/ruff format --check
.venv/bin/ruff check
cargo clippy --locked --workspace --all-targets -- -D warnings

say "Rust tests, end-to-end tests among them"
cargo test --locked --workspace

say "Python tests"
.venv/bin/python -m pytest

say "The pages: checks, unit tests, and whether they are what their sources give"
web/check.sh

say "Validation of GLB files"
integration/glb/run.sh

say "Validation of the description of the WebSocket"
integration/asyncapi/run.sh

say "The pages in a real Chromium"
integration/browser/run.sh

say "All checks passed"
