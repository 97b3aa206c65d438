"""The metadata inside a model archive."""

import dataclasses
import json
import math
import re
import types
from dataclasses import dataclass
from typing import Any, get_args

CONTRACT_VERSION = 1
"""The version of the contract that this code writes and accepts."""

METADATA_ENTRY = "extra/pointstream.json"
"""Path of the metadata in the archive, below the archive's top folder."""

SHA256 = re.compile("sha256:[0-9a-f]{64}")
SCALES = ("relative", "metric")
PRECISIONS = ("fp32", "fp16", "bf16")


class ContractError(ValueError):
    """An archive that does not follow the contract."""


@dataclass(frozen=True)
class Normalisation:
    """How `encode` normalises pixels in 0..1: (pixel - mean) / deviation, per RGB channel.

    The service does not use it. It documents the model for comparisons with other implementations.
    """

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    def __post_init__(self) -> None:
        for values in (self.mean, self.deviation):
            if len(values) != 3 or not all(_is_number(value) for value in values):
                raise ContractError(f"normalisation has {values!r}, expected three finite numbers")
        if min(self.deviation) <= 0:
            raise ContractError(f"normalisation has the deviation {self.deviation!r}, expected > 0")


@dataclass(frozen=True)
class AdjustmentNeed:
    """Peak memory of `adjust` in bytes, without the loaded model.

    For N frames of L lenses with O links, which show S times that two frames see the same point:
    `fixed + per_link * O + per_lens * O * L + per_shared * S + per_pair * N * N`. Frames have the
    same lens if their group, focal length and distortion are the same.
    """

    fixed: float
    per_link: float
    per_lens: float
    per_shared: float
    per_pair: float

    def __post_init__(self) -> None:
        _require_amounts("memory of adjust", self)


@dataclass(frozen=True)
class MemoryNeed:
    """Peak memory of a prediction in bytes, without the loaded model.

    For N frames, n of them per call of `encode`, `dense` or `fuse`: `fixed + per_frame * N +
    per_pixel * N * H * W + per_call_pixel * n * H * W + per_pair * N * N`.
    """

    fixed: float
    per_pixel: float
    per_call_pixel: float
    per_pair: float
    per_frame: float = 0.0
    adjust: AdjustmentNeed | None = None

    def __post_init__(self) -> None:
        _require_amounts("memory", self)


@dataclass(frozen=True)
class Memory:
    """Memory need of a prediction by device type; None if not measured."""

    cpu: MemoryNeed | None = None
    cuda: MemoryNeed | None = None


@dataclass(frozen=True)
class Metadata:
    """What the service must know about a model before running it."""

    name: str
    version: str
    license: str
    """SPDX identifier."""
    patch_size: int
    """In pixels; height and width of every frame are multiples of it."""
    default_process_res: int
    """Longest side in pixels if the client requests none."""
    max_process_res: int
    """Largest supported longest side in pixels."""
    scale: str
    """`relative`, or `metric` if depth is in metres."""
    precision: str
    """Number format of the computation: `fp32`, `fp16` or `bf16`."""
    fuse: bool
    """Whether the archive has the entry point `fuse`."""
    align: bool = False
    """Whether the archive has the entry point `align`; requires `fuse`."""
    poses: bool = False
    """Whether the archive has the entry point `relate_posed`."""
    report: bool = False
    """Whether the archive has the entry point `report`."""
    distortion: bool = False
    """Whether rows of cameras end with the radial distortion k1 and k2."""
    hints: bool = False
    """Whether the archive has the entry point `relate_hinted`."""
    extend: bool = False
    """Whether the archive has the entry point `relate_extended`."""
    describe: bool = False
    """Whether the archive has the entry point `describe`."""
    adjust: bool = False
    """Whether the archive has the entry points `links` and `adjust`; requires `extend`."""
    watch: bool = False
    """Whether the archive has the entry point `watch`."""
    normalisation: Normalisation | None = None
    """Pixel normalisation that the model applies itself."""
    memory: Memory | None = None
    """Memory need of predictions, if measured."""
    source_digest: str = ""
    """`sha256:` and the SHA-256 of the weights file the model was exported from, if any."""
    head_precision: str = "fp32"
    """Number format of the dense prediction heads, if it differs from the backbone's."""
    digest: str = ""
    """`sha256:` and the SHA-256 of the archive's content; set when the archive is written."""
    contract_version: int = CONTRACT_VERSION

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if type(value) not in (get_args(field.type) or (field.type,)):
                raise ContractError(
                    f"metadata field {field.name} is {value!r}, expected {_type_name(field.type)}"
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
        if self.align and not self.fuse:
            raise ContractError("metadata field align is True, but fuse is False")
        if self.adjust and not self.extend:
            raise ContractError("metadata field adjust is True, but extend is False")
        if self.source_digest and not SHA256.fullmatch(self.source_digest):
            raise ContractError(
                f"metadata field source_digest is {self.source_digest!r}, expected sha256: and "
                "64 hexadecimal digits"
            )
        _require_one_of("scale", self.scale, SCALES)
        _require_one_of("precision", self.precision, PRECISIONS)
        _require_one_of("head_precision", self.head_precision, PRECISIONS)

    def entry_points(self) -> list[str]:
        """Names of the entry points that the archive must have."""
        return [
            *("encode", "relate", "cameras", "dense"),
            *["relate_posed"] * self.poses,
            *["report"] * self.report,
            *["relate_hinted"] * self.hints,
            *["relate_extended"] * self.extend,
            *["describe"] * self.describe,
            *["links", "adjust"] * self.adjust,
            *["watch"] * self.watch,
            *["align"] * self.align,
            *["fuse"] * self.fuse,
        ]

    def to_json(self) -> str:
        """Serialise the metadata entry."""
        values = dataclasses.asdict(self)
        for need in (values["memory"] or {}).values():
            if need is not None and need["adjust"] is None:
                del need["adjust"]
        absent = [field.name for field in OPTIONAL if values[field.name] == field.default]
        for name in absent:
            del values[name]
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> "Metadata":
        """Parse the metadata entry; unknown fields are ignored, optional ones may be absent.

        Raises:
            ContractError: if it is not a JSON object, lacks a field or has an invalid value.
        """
        try:
            values: Any = json.loads(text)
        except ValueError as error:
            raise ContractError(f"the metadata is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise ContractError("the metadata is not a JSON object")
        version = values.get("contract_version")
        if type(version) is int and version != CONTRACT_VERSION:
            # Report the version first: another version may have other fields.
            raise ContractError(
                f"the archive follows contract version {version}, "
                f"only version {CONTRACT_VERSION} is supported"
            )
        names = [field.name for field in dataclasses.fields(cls)]
        optional = [field.name for field in OPTIONAL]
        missing = [name for name in names if name not in values and name not in optional]
        if missing:
            raise ContractError(f"the metadata lacks {', '.join(missing)}")
        found = {name: values[name] for name in names if name in values}
        if found.get("normalisation") is not None:
            found["normalisation"] = _normalisation(found["normalisation"])
        if found.get("memory") is not None:
            found["memory"] = _memory(found["memory"])
        return cls(**found)


OPTIONAL = tuple(
    field
    for field in dataclasses.fields(Metadata)
    if field.name
    in (
        *("align", "poses", "report", "distortion", "hints", "extend", "describe"),
        *("adjust", "watch"),
        *("normalisation", "memory", "source_digest", "head_precision"),
    )
)
"""Fields that may be absent from the metadata entry."""


def _normalisation(values: Any) -> Normalisation:
    names = [field.name for field in dataclasses.fields(Normalisation)]
    if not isinstance(values, dict) or not all(isinstance(values.get(n), list) for n in names):
        raise ContractError(f"normalisation is {values!r}, expected lists {' and '.join(names)}")
    return Normalisation(**{name: tuple(values[name]) for name in names})


def _memory(values: Any) -> Memory:
    if not isinstance(values, dict):
        raise ContractError(f"memory is {values!r}, expected an object")
    needs = {}
    for device in (field.name for field in dataclasses.fields(Memory)):
        if values.get(device) is not None:
            need = _amounts(MemoryNeed, f"memory of {device}", values[device])
            if values[device].get("adjust") is not None:
                label = f"memory of adjust on {device}"
                need["adjust"] = AdjustmentNeed(
                    **_amounts(AdjustmentNeed, label, values[device]["adjust"])
                )
            needs[device] = MemoryNeed(**need)
    return Memory(**needs)


def _amounts(kind: type, label: str, values: Any) -> dict[str, Any]:
    """The numbers of a memory need; those with a default may be absent."""
    fields = [field for field in dataclasses.fields(kind) if field.name != "adjust"]
    required = [field.name for field in fields if field.default is dataclasses.MISSING]
    if not isinstance(values, dict) or not all(name in values for name in required):
        raise ContractError(f"{label} is {values!r}, expected {', '.join(required)}")
    return {field.name: values[field.name] for field in fields if field.name in values}


def _require_amounts(label: str, need: Any) -> None:
    for field in dataclasses.fields(need):
        value = getattr(need, field.name)
        if field.name != "adjust" and (not _is_number(value) or value < 0):
            raise ContractError(f"{label} has {field.name} {value!r}, expected a number >= 0")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _type_name(expected: Any) -> str:
    if isinstance(expected, types.UnionType):
        return " or ".join(_type_name(option) for option in get_args(expected))
    return "null" if expected is types.NoneType else expected.__name__


def _require_one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ContractError(
            f"metadata field {name} is {value!r}, expected one of {', '.join(allowed)}"
        )
