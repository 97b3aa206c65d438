"""Checks JSON values against the schemas of a document, strictly: unknown fields are errors.

Reads `{"document": ..., "cases": [{"what": ..., "schema": "#/json/pointer", "value": ...}]}` from
stdin. Prints all violations, and fails if there are any.
"""

import json
import sys
from typing import Any

from jsonschema import Draft202012Validator

LISTS = ("oneOf", "anyOf", "allOf", "prefixItems")
"""Keywords that hold schemas in a list."""


def strict(schema: Any, whole: bool = True) -> Any:
    """The same schema, but objects have no fields beside those that it names.

    `whole` is false for a schema that is combined with others, as in `allOf`.
    """
    if not isinstance(schema, dict):
        return schema
    made = dict(schema)
    for keyword in LISTS:
        if keyword in schema:
            made[keyword] = [strict(part, whole=False) for part in schema[keyword]]
    if "properties" in schema:
        made["properties"] = {name: strict(part) for name, part in schema["properties"].items()}
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            made[keyword] = strict(schema[keyword])
    says_something = any(word in schema for word in ("$ref", "properties", *LISTS))
    if whole and says_something and "additionalProperties" not in schema:
        made["unevaluatedProperties"] = False
    return made


def find(document: Any, pointer: str) -> Any:
    """The part of a document at a JSON pointer."""
    found = document
    for key in pointer.removeprefix("#/").split("/"):
        found = found[key.replace("~1", "/").replace("~0", "~")]
    return found


def complaints(document: dict[str, Any], case: dict[str, Any]) -> list[str]:
    """The violations of one case."""
    # A reference is followed where it is used, so that the use can be strict.
    parts = document["components"]["schemas"]
    schema = {
        **strict(find(document, case["schema"])),
        "components": {"schemas": {name: strict(part, False) for name, part in parts.items()}},
    }
    Draft202012Validator.check_schema(schema)
    errors = Draft202012Validator(schema).iter_errors(case["value"])
    return [f"{case['what']}: {error.json_path}: {error.message[:500]}" for error in errors]


def main() -> None:
    """Checks every case."""
    given = json.load(sys.stdin)
    found = [text for case in given["cases"] for text in complaints(given["document"], case)]
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
