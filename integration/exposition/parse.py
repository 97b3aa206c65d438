"""Parse Prometheus text from stdin with the official parser and print its samples as JSON.

Fails with a message if the text violates the format or the naming conventions.
"""

import json
import sys

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

BASE_UNITS = ("_seconds", "_bytes")
"""Allowed units of measurements; counts have none."""
OTHER_UNITS = ("_milliseconds", "_ms", "_minutes", "_kilobytes", "_mb", "_mib", "_percent")


def complaints(family: Metric) -> list[str]:
    """List the violations of a metric family."""
    found = []
    if not family.documentation:
        found.append("has no help")
    if family.type == "unknown":
        found.append("has no type")
    if not family.name.startswith(("pointstream_", "process_")):
        found.append("lacks the prefix of the program")
    if family.type != "counter" and family.name.endswith("_total"):
        found.append("is named like a counter")
    if family.name.endswith(OTHER_UNITS):
        found.append(f"is not in a base unit: {' or '.join(BASE_UNITS)}")
    if family.type == "counter":
        found += [
            f"has the sample {sample.name} without _total"
            for sample in family.samples
            if not sample.name.endswith("_total")
        ]
    if not family.samples:
        found.append("has no sample")
    return [f"{family.name} {complaint}" for complaint in found]


def main() -> None:
    """Check and print."""
    families = list(text_string_to_metric_families(sys.stdin.read()))
    wrong = [complaint for family in families for complaint in complaints(family)]
    if wrong:
        sys.exit("\n".join(wrong))
    samples = [
        {"name": sample.name, "labels": sample.labels, "value": sample.value}
        for family in families
        for sample in family.samples
    ]
    json.dump(samples, sys.stdout)


if __name__ == "__main__":
    main()
