"""Official checkpoints load strictly; tensors that the network does not need are dropped by
name."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from weights.contract import check_archive, load_archive, read_metadata
from weights.contract.metadata import Normalisation
from weights.da3.camera import CameraDecoder
from weights.da3.checkpoint import load_checkpoint, read_config
from weights.da3.config import BASE, CONFIGS, SMALL, AnyConfig, Da3Config
from weights.da3.export import export, export_checkpoint
from weights.da3.loading import CheckpointError, load_tensors
from weights.da3.network import Da3Network
from weights.tests.da3_networks import TINY, TINY_METRIC, TINY_NESTED, random_network

UNUSED = (
    "model.head.scratch.refinenet1_aux.out_conv.weight",
    "model.head.scratch.output_conv1_aux.0.0.bias",
    "model.head.scratch.output_conv2_aux.3.2.weight",
    "model.gs_head.norm.weight",
)


def checkpoint(seed: int = 1) -> dict[str, Tensor]:
    """The tensors of a tiny network in the form of an official checkpoint."""
    tensors = {f"model.{name}": t for name, t in random_network(TINY, seed).state_dict().items()}
    return {**tensors, **{name: torch.zeros(3) for name in UNUSED}}


def test_checkpoint_fills_every_parameter() -> None:
    network = random_network(TINY, seed=0)
    load_tensors(network, checkpoint(seed=1))
    expected = random_network(TINY, seed=1).state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("model.cam_dec.fc_t.bias"), r"it lacks cam_dec\.fc_t\.bias"),
        (lambda t: t.update({"model.head.extra": torch.zeros(1)}), r"unknown head\.extra"),
        (lambda t: t.update({"model.head.extra_aux.a": torch.zeros(1)}), "unknown head"),
        (lambda t: t.update({"head.norm.bias": torch.zeros(1)}), "start with model"),
        (
            lambda t: t.update({"model.cam_dec.fc_t.bias": torch.zeros(4)}),
            r"fc_t\.bias is \[4\], expected \[3\]",
        ),
        (
            lambda t: t.update({"model.cam_dec.fc_t.bias": torch.zeros(3, dtype=torch.int64)}),
            "expected floating point",
        ),
        (
            lambda t: t.update({"model.cam_dec.fc_t.bias": torch.zeros(3).to(torch.float8_e4m3fn)}),
            "is torch.float8_e4m3fn, expected floating point of 16 bits or more",
        ),
        (
            lambda t: t.update({"model.cam_dec.fc_t.bias": torch.full([3], torch.nan)}),
            "is not finite",
        ),
    ],
)
def test_wrong_checkpoint_is_refused(
    change: Callable[[dict[str, Tensor]], object], message: str
) -> None:
    tensors = checkpoint()
    change(tensors)
    network = random_network(TINY)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_tensors(network, tensors)
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())


def test_folder_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, TINY.name, TINY)
    save_file(checkpoint(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_name": "tiny"}')
    network, config, digest = load_checkpoint(tmp_path)
    assert config == TINY
    content = (tmp_path / "model.safetensors").read_bytes()
    assert digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    expected = random_network(TINY, seed=1).cam_dec.fc_t.weight
    assert torch.equal(network.cam_dec.fc_t.weight, expected)


def test_truncated_tensors_are_refused(tmp_path: Path) -> None:
    save_file(checkpoint(), tmp_path / "model.safetensors")
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[: len(content) // 2])
    (tmp_path / "config.json").write_text('{"model_name": "da3-small"}')
    with pytest.raises(CheckpointError, match="is no safetensors file"):
        load_checkpoint(tmp_path)


def test_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        load_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"model_name": "da3-base"}', BASE),
        (
            '{"model_name": "da3-small", "config": {"net": {"alt_start": 4, '
            '"out_layers": [5, 7, 9, 11]}}}',
            SMALL,
        ),
    ],
)
def test_config_names_the_size(tmp_path: Path, text: str, expected: Da3Config) -> None:
    (tmp_path / "config.json").write_text(text)
    assert read_config(tmp_path / "config.json") == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "has no model_name"),
        ([], "has no model_name"),
        ({"model_name": "da3mono-large"}, "is of da3mono-large, supported are da3-small"),
        (
            {"model_name": "da3-small", "config": {"net": {"alt_start": 8}}},
            "has net.alt_start 8, expected 4",
        ),
        (
            {
                "model_name": "da3nested-giant-large",
                "config": {"metric": {"net": {"out_layers": [1, 2, 3, 4]}}},
            },
            r"has metric.net.out_layers \[1, 2, 3, 4\], expected \[4, 11, 17, 23\]",
        ),
    ],
)
def test_other_config_is_refused(tmp_path: Path, values: object, message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path / "config.json")


def test_config_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="is not JSON"):
        read_config(tmp_path / "config.json")


def test_config_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="is not JSON"):
        read_config(tmp_path / "config.json")


def test_export_records_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONFIGS, TINY.name, TINY)
    save_file(checkpoint(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_name": "tiny"}')
    export_checkpoint(tmp_path, tmp_path / "tiny.pt", name="tiny-1.1")
    metadata = read_metadata(tmp_path / "tiny.pt")
    assert (metadata.name, metadata.license) == ("tiny-1.1", "Apache-2.0")
    assert metadata.source_digest == load_checkpoint(tmp_path).digest
    assert metadata.normalisation == Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert metadata.poses


@pytest.mark.parametrize("config", [TINY, TINY_METRIC, TINY_NESTED], ids=lambda c: c.name)
def test_exported_archive_follows_the_contract(tmp_path: Path, config: AnyConfig) -> None:
    path = tmp_path / "tiny.pt"
    network = random_network(config)
    # Poses like those of a trained network: the reference view is near the world frame.
    for module in network.modules():
        if isinstance(module, CameraDecoder):
            module.fc_t.bias.zero_()
            module.fc_qvec.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 1.0]))
            module.fc_t.weight.mul_(0.1)
            module.fc_qvec.weight.mul_(0.1)
    written = export(network, config, "tiny", "Apache-2.0", "fp32", path)
    _, metadata = load_archive(path)
    assert metadata == written
    scale = "relative" if config is TINY else "metric"
    nested = config is TINY_NESTED
    assert (metadata.name, metadata.scale) == ("tiny", scale)
    assert (metadata.fuse, metadata.align, metadata.poses) == (nested, nested, True)
    assert check_archive(path) == []


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_applies_to_the_backbone_only(tmp_path: Path, precision: str) -> None:
    path = tmp_path / "tiny.pt"
    export(random_network(TINY_NESTED), TINY_NESTED, "tiny", "Apache-2.0", precision, path)
    module, metadata = load_archive(path)
    assert metadata.precision == precision
    expected = {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    for name, parameter in module.named_parameters():
        in_backbone = name.startswith(("network.da3.backbone.", "network.da3_metric.backbone."))
        assert parameter.dtype == (expected if in_backbone else torch.float32), name


def test_sizes_have_the_official_number_of_parameters() -> None:
    with torch.device("meta"):
        small = sum(p.numel() for p in Da3Network(SMALL).parameters())
    assert small == 33_358_315
