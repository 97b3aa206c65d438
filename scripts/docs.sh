#!/usr/bin/env bash
# Usage: scripts/docs.sh
#
# Builds the site of the documents in target/site, and checks the links and anchors between documents: those of
# the site, and those that people follow on the code host. It asks no other server.
source "$(dirname "$0")/common.sh"

scripts/setup.sh --with-docs-tools
# The theme warns of a version of MkDocs that requirements/docs.txt does not have.
NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build
# PyPI has lychee for x86-64 only.
if [ -x .venv/bin/lychee ]; then
  git ls-files -z '*.md' | xargs -0 .venv/bin/lychee --offline --no-progress --include-fragments --quiet
fi
say "The site is target/site/index.html"
