"""Show the metadata of a model archive, or check that it follows the contract."""

import argparse
import sys

from weights.contract import ContractError, check_archive, read_metadata


def main() -> int:
    """Run the command and return its exit status: 1 if the archive violates the contract."""
    parser = argparse.ArgumentParser(prog="python -m weights.contract", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="print the metadata of an archive")
    show.add_argument("path")
    check = commands.add_parser("check", help="run an archive and report contract violations")
    check.add_argument("path")
    check.add_argument("--device", default="cpu")
    options = parser.parse_args()
    try:
        if options.command == "show":
            print(read_metadata(options.path).to_json(), end="")
            return 0
        violations = check_archive(options.path, options.device)
    except (ContractError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for violation in violations:
        print(violation)
    if not violations:
        print(f"{options.path} follows the contract")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
