"""Depth Anything 3 behind the contract, with tiny networks and random weights."""

import pytest
import torch
from torch import Tensor

from weights.da3.config import AnyConfig
from weights.da3.geometry import (
    cameras_from_pose_encoding,
    normalise_extrinsics,
    pose_encoding,
    quaternion_from_rotation,
    rotation_from_quaternion,
)
from weights.da3.model import Da3Model
from weights.da3.reference import reference_view
from weights.da3.variants import build_model
from weights.tests.da3_networks import (
    TINY,
    TINY_GATED,
    TINY_METRIC,
    TINY_NESTED,
    random_network,
    smooth_frames,
)

SIZES = ((1, 28, 42), (2, 42, 28), (3, 56, 42), (5, 28, 28))


def run(model: torch.nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Run all frames at once; return features, state, cameras and dense maps."""
    size = torch.tensor(pixels.shape[2:])
    features = model.encode(pixels)
    state = model.relate(features, size)
    frames = torch.tensor([0, pixels.shape[0]])
    return features, state, model.cameras(state, size), model.dense(state, size, frames)


@pytest.mark.parametrize("config", [TINY, TINY_METRIC, TINY_NESTED], ids=lambda config: config.name)
def test_a_set_flag_ends_a_run(config: AnyConfig) -> None:
    model = torch.jit.script(build_model(random_network(config)))
    pixels, size = smooth_frames(2, 42, 56), torch.tensor([42, 56])
    unwatched = run(model, pixels)
    flag = torch.zeros(1, dtype=torch.uint8)
    model.watch(flag)
    for found, expected in zip(run(model, pixels), unwatched, strict=True):
        assert torch.equal(found, expected)
    flag[0] = 1
    with pytest.raises(torch.jit.Error, match="stopped"):
        model.encode(pixels)
    # The metric network works on one frame at a time, all in `encode`.
    if config is not TINY_METRIC:
        with pytest.raises(torch.jit.Error, match="stopped"):
            model.relate(unwatched[0], size)


@pytest.fixture(scope="module", params=[TINY, TINY_GATED], ids=lambda config: config.name)
def models(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The same model, eager and scripted."""
    eager = Da3Model(random_network(request.param)).eval()
    return eager, torch.jit.script(eager)


def test_scripted_model_equals_eager_model_for_any_frame_count_and_size(
    models: tuple[torch.nn.Module, torch.nn.Module],
) -> None:
    eager, scripted = models
    for frames, height, width in SIZES:  # TorchScript optimises from the second run on
        pixels = smooth_frames(frames, height, width)
        for expected, found in zip(run(eager, pixels), run(scripted, pixels), strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_encoding_is_bit_equal_in_any_grouping() -> None:
    model = Da3Model(random_network(TINY))
    pixels = smooth_frames(5, 42, 56)
    at_once = model.encode(pixels)
    for groups in ([1, 1, 1, 1, 1], [2, 3], [4, 1]):
        parts = [model.encode(part) for part in pixels.split(groups)]
        assert torch.equal(torch.cat(parts), at_once)


def test_a_vector_describes_each_frame_alone(
    models: tuple[torch.nn.Module, torch.nn.Module],
) -> None:
    eager, scripted = models
    pixels = smooth_frames(4, 42, 56)
    size = torch.tensor([42, 56])
    features = eager.encode(pixels)
    vectors = eager.describe(features, size)
    assert vectors.dtype == torch.float32 and vectors.dim() == 2
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(4))
    for frame in range(4):
        alone = scripted.describe(features[frame : frame + 1], size)
        torch.testing.assert_close(alone, vectors[frame : frame + 1], rtol=1e-5, atol=1e-5)
    # A frame is nearest to itself with a little noise.
    noise = torch.randint(-2, 3, pixels.shape, generator=torch.Generator().manual_seed(0))
    noisy = eager.encode((pixels + noise).clamp(0, 255).to(torch.uint8))
    similar = vectors @ eager.describe(noisy, size).T
    assert similar.argmax(1).tolist() == [0, 1, 2, 3]


def test_dense_of_a_chunk_equals_that_of_all() -> None:
    model = Da3Model(random_network(TINY))
    pixels = smooth_frames(4, 28, 42)
    _, state, _, dense = run(model, pixels)
    part = model.dense(state, torch.tensor([28, 42]), torch.tensor([1, 3]))
    torch.testing.assert_close(part, dense[1:3], rtol=1e-5, atol=1e-5)


def test_results_are_equivariant_to_the_order_of_views() -> None:
    model = Da3Model(random_network(TINY_GATED))
    pixels = smooth_frames(5, 42, 28)
    order = torch.tensor([3, 0, 4, 1, 2])
    features, _, cameras, dense = run(model, pixels)
    moved_features, _, moved_cameras, moved_dense = run(model, pixels[order])
    assert order[reference_view(moved_features[:, 0])] == reference_view(features[:, 0])
    torch.testing.assert_close(moved_cameras, cameras[order], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moved_dense, dense[order], rtol=1e-4, atol=1e-4)


def test_frames_attend_to_each_other_and_the_reference_matters() -> None:
    network = random_network(TINY)
    model = Da3Model(network)
    pixels = smooth_frames(4, 28, 42)
    _, _, cameras, dense = run(model, pixels)
    _, _, other_cameras, other_dense = run(model, pixels[:3])
    assert float((other_dense / dense[:3] - 1).abs().max()) > 1e-2
    assert float((other_cameras - cameras[:3]).abs().max()) > 1e-2
    network.backbone.pretrained.camera_token[0, 0].copy_(
        network.backbone.pretrained.camera_token[0, 1]
    )
    assert float((run(model, pixels)[3] / dense - 1).abs().max()) > 1e-2


def test_attention_is_fused(models: tuple[torch.nn.Module, torch.nn.Module]) -> None:
    blocks = models[0].network.backbone.pretrained.blocks
    per_frame = models[0].network.backbone.pretrained.first_related
    pixels = smooth_frames(3, 28, 42)
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True
    ) as profile:
        run(models[1], pixels)
    operations = {event.key: event.count for event in profile.key_averages()}
    fused = operations["aten::_scaled_dot_product_flash_attention_for_cpu"]
    assert fused == 3 * per_frame + len(blocks) - per_frame
    assert not any("softmax" in name for name in operations)


def test_reference_of_one_or_two_views_is_the_first() -> None:
    tokens = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))
    assert reference_view(tokens[:1]) == 0
    assert reference_view(tokens.flip(0)) == 0


def test_reference_is_the_most_typical_view() -> None:
    generator = torch.Generator().manual_seed(0)
    centre = torch.randn(16, generator=generator)
    noise = torch.randn(5, 16, generator=generator)
    strengths = torch.tensor([0.1, 2.0, 0.9, 0.2, 1.9])[:, None]
    tokens = (centre + strengths * noise) * torch.tensor([1.0, 3.0, 2.0, 1.1, 2.9])[:, None]
    assert reference_view(tokens) == 2


def test_quaternions_and_rotations_are_inverse() -> None:
    quaternions = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    quaternions[:4] = torch.eye(4)
    quaternions = torch.nn.functional.normalize(quaternions)
    quaternions = torch.where(quaternions[:, 3:] < 0, -quaternions, quaternions)
    rotations = rotation_from_quaternion(3 * quaternions)
    identity = torch.eye(3).expand(64, 3, 3)
    torch.testing.assert_close(rotations @ rotations.mT, identity, rtol=0, atol=1e-5)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(64))
    torch.testing.assert_close(quaternion_from_rotation(rotations), quaternions, rtol=0, atol=1e-5)


def test_quarter_turn_about_z_rotates_x_to_y() -> None:
    half = 0.5**0.5
    rotation = rotation_from_quaternion(torch.tensor([[0.0, 0.0, half, half]]))[0]
    torch.testing.assert_close(rotation @ torch.eye(3)[0], torch.eye(3)[1])


def test_pose_encoding_round_trips_through_matrices() -> None:
    generator = torch.Generator().manual_seed(0)
    encoding = torch.randn(6, 9, generator=generator)
    quaternions = torch.nn.functional.normalize(encoding[:, 3:7])
    encoding[:, 3:7] = torch.where(quaternions[:, 3:] < 0, -quaternions, quaternions)
    encoding[:, 7:] = 0.3 + torch.rand(6, 2, generator=generator)
    rows = cameras_from_pose_encoding(encoding, 280, 504)
    again = pose_encoding(rows[:, :12].view(6, 3, 4), rows[:, 12:].view(6, 3, 3), 280, 504)
    torch.testing.assert_close(again, encoding, rtol=1e-4, atol=1e-5)


def test_camera_of_a_known_encoding() -> None:
    encoding = torch.tensor([[1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0, torch.pi / 2, torch.pi / 3]])
    row = cameras_from_pose_encoding(encoding, 100, 200)[0]
    extrinsics = torch.tensor([[1.0, 0, 0, -1], [0, 1, 0, -2], [0, 0, 1, -3]])
    intrinsics = torch.tensor([[100 * 3**0.5, 0, 100], [0, 50, 50], [0, 0, 1.0]])
    torch.testing.assert_close(row, torch.cat([extrinsics.flatten(), intrinsics.flatten()]))


def test_zero_field_of_view_and_zero_quaternion_give_a_finite_camera() -> None:
    row = cameras_from_pose_encoding(torch.zeros(1, 9), 28, 28)[0]
    assert bool(row.isfinite().all())
    assert torch.equal(row[:12].view(3, 4)[:, :3], torch.eye(3))


def test_known_poses_do_not_depend_on_world_and_unit() -> None:
    generator = torch.Generator().manual_seed(0)
    rotations = rotation_from_quaternion(torch.randn(5, 4, generator=generator))
    extrinsics = torch.cat([rotations, torch.randn(5, 3, 1, generator=generator)], 2)
    world = rotation_from_quaternion(torch.randn(1, 4, generator=generator))
    shift = torch.randn(1, 3, 1, generator=generator)
    moved = torch.cat([rotations @ world, 7 * (extrinsics[:, :, 3:] + rotations @ shift)], 2)
    normalised = normalise_extrinsics(extrinsics)
    torch.testing.assert_close(normalise_extrinsics(moved), normalised, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(normalised[0], torch.eye(3, 4), rtol=0, atol=1e-5)
    distances = normalised[:, :, 3].norm(dim=1)
    torch.testing.assert_close(distances.median(), torch.ones([]))


def test_known_poses_change_the_result() -> None:
    model = Da3Model(random_network(TINY))
    pixels = smooth_frames(3, 28, 42)
    size = torch.tensor([28, 42])
    features, state, cameras, _ = run(model, pixels)
    posed = model.relate_posed(features, cameras, size)
    assert posed.shape == state.shape
    assert not torch.allclose(posed, state, rtol=1e-2, atol=1e-2)
    cameras[2, 3] += 0.5
    assert not torch.allclose(model.relate_posed(features, cameras, size), posed)


def test_backbone_may_have_another_precision_than_the_heads() -> None:
    network = random_network(TINY_GATED)
    model = Da3Model(network)
    pixels = smooth_frames(3, 28, 42)
    size = torch.tensor([28, 42])
    _, state, cameras, dense = run(model, pixels)
    posed = model.relate_posed(model.encode(pixels), cameras, size)
    network.backbone.to(torch.float64)
    features, precise_state, precise_cameras, precise_dense = run(model, pixels)
    assert features.dtype == precise_state.dtype == torch.float64
    precise_posed = model.relate_posed(features, cameras, size)
    torch.testing.assert_close(precise_cameras, cameras, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(precise_dense, dense, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(precise_state.float(), state, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(precise_posed.float(), posed, rtol=1e-3, atol=1e-4)
