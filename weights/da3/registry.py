"""The models that can be fetched by name: `registry.json`, which the service reads as well."""

import json
from dataclasses import dataclass
from pathlib import Path

PATH = Path(__file__).with_name("registry.json")


@dataclass(frozen=True)
class KnownModel:
    """One model with an official checkpoint."""

    name: str
    """The name here and in the checkpoint's `config.json`."""
    repository: str
    """The official repository on the hub."""
    license: str
    """SPDX identifier of the checkpoint's licence."""
    needs_acceptance: bool
    """Whether the licence restricts use, so that the operator must accept it first."""
    automatic: bool
    """Whether `--model auto` may select it: it reconstructs scenes without known cameras."""


def known_models() -> dict[str, KnownModel]:
    """Every model by its name, the best first."""
    models = [KnownModel(**values) for values in json.loads(PATH.read_text())]
    return {model.name: model for model in models}
