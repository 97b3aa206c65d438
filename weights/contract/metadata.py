"""The metadata that travels inside a model archive."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

CONTRACT_VERSION = 1
"""The version of the contract that this code writes and accepts."""

METADATA_ENTRY = "extra/pointstream.json"
"""Path of the metadata in the archive, below the archive's top folder."""

SCALES = ("relative", "metric")
PRECISIONS = ("fp32", "fp16", "bf16")


class ContractError(ValueError):
    """An archive that does not follow the contract; the message says what is wrong."""


@dataclass(frozen=True)
class Metadata:
    """What the service must know of a model before it runs it."""

    name: str
    version: str
    license: str
    """SPDX identifier."""
    patch_size: int
    """Height and width of every frame are multiples of it."""
    default_process_res: int
    """Longest side in pixels, unless the client asks for another."""
    max_process_res: int
    """The largest longest side in pixels that the model is meant for."""
    scale: str
    """`relative`, or `metric` where depth is in metres."""
    precision: str
    """Of the computation: `fp32`, `fp16` or `bf16`."""
    fuse: bool
    """Whether the archive has the entry point `fuse`."""
    digest: str = ""
    """`sha256:` and the SHA-256 of the archive's content; set when the archive is written."""
    contract_version: int = CONTRACT_VERSION

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if type(value) is not field.type:
                raise ContractError(
                    f"metadata field {field.name} is {value!r}, expected {field.type.__name__}"
                )
        if self.contract_version != CONTRACT_VERSION:
            raise ContractError(
                f"the archive follows contract version {self.contract_version}, "
                f"only version {CONTRACT_VERSION} is supported"
            )
        for name in ("name", "version", "license"):
            if not getattr(self, name):
                raise ContractError(f"metadata field {name} is empty")
        if self.patch_size < 1:
            raise ContractError(f"metadata field patch_size is {self.patch_size}, expected >= 1")
        if not self.patch_size <= self.default_process_res <= self.max_process_res:
            raise ContractError(
                "expected patch_size <= default_process_res <= max_process_res, found "
                f"{self.patch_size}, {self.default_process_res}, {self.max_process_res}"
            )
        _require_one_of("scale", self.scale, SCALES)
        _require_one_of("precision", self.precision, PRECISIONS)

    def to_json(self) -> str:
        """The text of the metadata entry."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Metadata":
        """Parse the metadata entry; unknown fields are ignored.

        Raises:
            ContractError: if it is no JSON object, a field is missing or a value is not allowed.
        """
        try:
            values: Any = json.loads(text)
        except ValueError as error:
            raise ContractError(f"the metadata is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ContractError("the metadata is not a JSON object")
        version = values.get("contract_version")
        if type(version) is int and version != CONTRACT_VERSION:
            # Another version may have other fields: say the cause, not its consequences.
            raise ContractError(
                f"the archive follows contract version {version}, "
                f"only version {CONTRACT_VERSION} is supported"
            )
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if name not in values]
        if missing:
            raise ContractError(f"the metadata lacks {', '.join(missing)}")
        return cls(**{name: values[name] for name in names})


def _require_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ContractError(
            f"metadata field {name} is {value!r}, expected one of {', '.join(allowed)}"
        )
