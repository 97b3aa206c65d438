"""Checks that the text on stdin is a valid OpenAPI document."""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

if __name__ == "__main__":
    errors = list(OpenAPIV31SpecValidator(json.load(sys.stdin)).iter_errors())
    if errors:
        sys.exit("\n".join(f"{error.json_path}: {error.message[:500]}" for error in errors))
