#!/usr/bin/env bash
# Usage: scripts/models.sh list | fetch NAME | verify | remove NAME | path NAME
source "$(dirname "$0")/common.sh"

# Builds and prepares the same as for serving, and runs the subcommand `models`.
exec scripts/serve.sh models "$@"
