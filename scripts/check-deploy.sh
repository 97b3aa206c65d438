#!/usr/bin/env bash
# Checks the files in deploy/: the Dockerfile with hadolint, compose files against the specification of
# compose, and the unit with systemd where it is installed. No image is built.
source "$(dirname "$0")/common.sh"

scripts/setup.sh --with-docs-tools
.venv/bin/hadolint deploy/Dockerfile
.venv/bin/python - deploy/compose*.yaml <<'PYTHON'
import sys
from pathlib import Path

from compose_spec import PyCompose

for name in sys.argv[1:]:
    try:
        PyCompose.from_yaml(Path(name).read_text("utf-8")).validate()
    except ValueError as error:
        sys.exit(f"error: {name}: {error}")
PYTHON

if command -v systemd-analyze >/dev/null; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  # The program of the unit must exist.
  mkdir "$scratch/bin"
  cp /bin/true "$scratch/bin/pointstream"
  unit=$scratch/pointstream.service
  sed "s|@PREFIX@|$scratch|g; s|@ETC@|$scratch|g" deploy/pointstream.service >"$unit"
  # It warns without a status.
  warnings=$(systemd-analyze verify --man=no "$unit" 2>&1)
  [ -z "$warnings" ] || fail "systemd says about deploy/pointstream.service:" "$warnings"
  # The exposure of the unit, of 100; a service without any sandbox has 96.
  systemd-analyze security --offline=yes --threshold=20 --no-pager "$unit" | tail -n 1
fi
