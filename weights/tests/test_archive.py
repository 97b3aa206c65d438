"""The committed archive equals its sources, follows the contract and has calibrated confidence."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from weights.contract import Reconstruction, check_archive, load_archive, run_model
from weights.contract.check import noise_frames
from weights.metrics import CONFIDENT, depth_errors, pose_errors
from weights.mvs.build import DEFAULT_PATH
from weights.scenes import SceneSettings, render_scene

HEIGHT, WIDTH = 140, 196


def reconstruct(pixels: Tensor) -> Reconstruction:
    """Run the archive of the repository on uint8 frames [N, 3, H, W]."""
    module, metadata = load_archive(DEFAULT_PATH)
    return run_model(module, metadata, pixels)


def photos(seed: int, views: int, width: int = WIDTH, height: int = HEIGHT) -> Tensor:
    """Photos of a procedural scene, uint8 [N, 3, H, W]."""
    images = render_scene(seed, SceneSettings(views=views, width=width, height=height)).images
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def test_archive_equals_the_build_of_its_sources(tmp_path: Path) -> None:
    built = tmp_path / "built.pt"
    command = [sys.executable, "-W", "ignore", "-m", "weights.mvs.build", "-o", str(built)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    same = built.read_bytes() == DEFAULT_PATH.read_bytes()
    assert same, "the sources changed: run python -m weights.mvs.build"


def test_archive_follows_the_contract() -> None:
    assert check_archive(DEFAULT_PATH) == []


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("one photo", photos(1, 1)),
        ("black", torch.zeros(3, 3, HEIGHT, WIDTH, dtype=torch.uint8)),
        ("white noise", noise_frames(3, HEIGHT, WIDTH)),
        ("the same photo three times", photos(1, 1).repeat(3, 1, 1, 1)),
        ("unrelated photos", torch.cat([photos(seed, 1) for seed in (1, 2, 3)])),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_degenerate_input_gives_no_confidence(name: str, pixels: Tensor) -> None:
    result = reconstruct(pixels)
    for value in (result.depth, result.confidence, result.extrinsics, result.intrinsics):
        assert value.isfinite().all()
    assert (result.depth > 0).all()
    assert (result.confidence >= CONFIDENT).float().mean() < 0.01, name


def test_calls_end_when_their_flag_is_set() -> None:
    module = torch.jit.load(DEFAULT_PATH)
    flag = torch.zeros(1, dtype=torch.uint8)
    module.watch(flag)
    size = torch.tensor([HEIGHT, WIDTH])
    features = module.encode(photos(11, 4))
    state = module.relate(features, size)
    dense = module.dense(state, size, torch.tensor([0, 4]))
    cameras, hints = module.cameras(state, size), torch.zeros(4, 3)
    calls: list[Callable[[], Tensor]] = [
        lambda: module.relate(features, size),
        lambda: module.relate_hinted(features, hints, size),
        lambda: module.relate_extended(features, cameras, hints, size),
        lambda: module.dense(state, size, torch.tensor([0, 4])),
        lambda: module.fuse(state, dense, size, torch.tensor([0, 4])),
    ]
    flag.fill_(1)
    for call in calls:
        with pytest.raises(torch.jit.Error, match="stopped"):
            call()
    flag.zero_()
    assert torch.equal(module.relate(features, size), state)


def test_a_flag_ends_a_call_that_runs() -> None:
    module = torch.jit.load(DEFAULT_PATH)
    flag = torch.zeros(1, dtype=torch.uint8)
    module.watch(flag)
    size = torch.tensor([196, 252])
    features = module.encode(photos(11, 12, 252, 196))
    # By far longer than the time until the flag is set.
    timer = threading.Timer(0.2, flag.fill_, [1])
    timer.start()
    with pytest.raises(torch.jit.Error, match="stopped"):
        module.relate(features, size)
    timer.join()


def test_photos_of_a_scene_are_reconstructed() -> None:
    rendering = render_scene(11, SceneSettings(views=4, width=252, height=196))
    result = reconstruct(torch.from_numpy(rendering.images).permute(0, 3, 1, 2).contiguous())
    poses = pose_errors(result.extrinsics.numpy(), rendering.extrinsics)
    depth = depth_errors(result.depth.numpy(), result.confidence.numpy(), rendering.depth)
    assert result.registered.all()
    assert poses.rotation.mean() < 1.0
    assert poses.translation.mean() < 5.0
    assert depth.abs_rel < 0.06
    assert depth.coverage > 0.4


def test_unrelated_photo_is_not_registered() -> None:
    pixels = torch.cat([photos(11, 4, 252, 196), photos(2, 1, 252, 196)])
    result = reconstruct(pixels)
    assert result.registered.tolist() == [True, True, True, True, False]
    assert (result.confidence[4] == 1).all()
    assert (result.confidence[:4] >= CONFIDENT).float().mean() > 0.3
