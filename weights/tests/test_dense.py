"""The dense stage as a whole, on a scene with exact depth."""

import pytest
import torch
from torch import Tensor

from weights.mvs.canvas import centred_pixels, sampling_grid, unbent
from weights.mvs.dense import dense_frames, fuse_frames
from weights.mvs.lenses import straight
from weights.mvs.links import LINKS
from weights.mvs.state import HEADER, encode_image, image_length, pack_state, unpack_cameras
from weights.tests.dense_scene import FOCAL, HEIGHT, SKY_ROWS, WIDTH, DenseScene, make_dense_scene


def reconstruct(scene: DenseScene) -> Tensor:
    """Depth and confidence [N, 2, H, W], computed frame by frame like in the service."""
    state = pack_state(scene.sparse, encode_image(scene.images), scene.size)
    count = state.size(0)
    dense = torch.cat([dense_frames(state, scene.size, i, i + 1) for i in range(count)])
    fused = [fuse_frames(state, dense, scene.size, i, i + 1) for i in range(count)]
    return torch.cat(fused)


@pytest.fixture(scope="module")
def scene() -> DenseScene:
    return make_dense_scene()


@pytest.fixture(scope="module")
def result(scene: DenseScene) -> Tensor:
    return reconstruct(scene)


def test_confident_depth_is_correct(scene: DenseScene, result: Tensor) -> None:
    confident = (result[:, 1] >= 1.05) & (scene.depth > 0)
    error = (result[:, 0] / scene.depth - 1).abs()[confident]
    assert error.mean() < 0.01
    assert (error > 0.05).double().mean() < 0.03
    assert confident.sum() / (scene.depth > 0).sum() > 0.8


@pytest.mark.parametrize("bend", [-0.15, 0.15])
def test_depth_belongs_to_the_pixels_of_a_bent_image(scene: DenseScene, bend: float) -> None:
    """A lens with distortion records at a pixel what the scene has at its straight position."""
    extent = float(max(HEIGHT, WIDTH))
    pixels = centred_pixels(HEIGHT, WIDTH, torch.device("cpu"))
    positions = straight(pixels, torch.full([HEIGHT, WIDTH], bend), extent)
    grid = sampling_grid(positions).expand(4, -1, -1, -1)
    sample = torch.nn.functional.grid_sample
    images = sample(scene.images, grid, mode="bicubic", align_corners=False).clamp(0, 1)
    depth = sample(scene.depth[:, None].float(), grid, mode="nearest", align_corners=False)[:, 0]
    sparse = scene.sparse._replace(bend=torch.full([4], bend, dtype=torch.float64))
    result = reconstruct(scene._replace(images=images, sparse=sparse))
    # Beyond the scene's images nothing was recorded.
    confident = (result[:, 1] >= 1.05) & (depth > 0)
    error = (result[:, 0] / depth - 1).abs()[confident]
    assert error.mean() < 0.015
    assert (error > 0.05).double().mean() < 0.04
    assert confident.sum() / (depth > 0).sum() > 0.7


def test_canvas_and_back_keeps_the_pixels() -> None:
    pixels = centred_pixels(HEIGHT, WIDTH, torch.device("cpu")).double()
    extent = float(max(HEIGHT, WIDTH))
    for bend in (-0.3, 0.1, 0.4):
        flat = torch.full([HEIGHT, WIDTH], bend, dtype=torch.float64)
        there = straight(pixels, flat, extent)
        assert torch.allclose(unbent(there, bend, extent), pixels, atol=1e-4)


def test_sky_is_not_confident(scene: DenseScene, result: Tensor) -> None:
    assert (scene.depth[:, :SKY_ROWS] == 0).all()
    assert (result[:, 1, :SKY_ROWS] >= 1.05).double().mean() < 0.02


def test_single_colours_are_not_confidently_wrong() -> None:
    """The outline of a plain board gives no depth for the plain wall beside it."""
    scene = make_dense_scene(contrast=0.06)
    result = reconstruct(scene)
    confident = (result[:, 1] >= 1.05) & (scene.depth > 0)
    assert confident.double().mean() > 0.1
    error = (result[:, 0] / scene.depth - 1).abs()[confident]
    assert (error > 0.1).double().mean() < 0.03


def test_everything_is_finite_and_in_range(result: Tensor) -> None:
    assert torch.isfinite(result).all()
    assert (result[:, 0] > 0).all()
    assert (result[:, 1] >= 1).all()


def test_chunks_do_not_matter(scene: DenseScene, result: Tensor) -> None:
    state = pack_state(scene.sparse, encode_image(scene.images), scene.size)
    dense = dense_frames(state, scene.size, 0, 4)
    assert torch.equal(fuse_frames(state, dense, scene.size, 0, 4), result)


def test_scripted_functions_give_the_same_result(scene: DenseScene, result: Tensor) -> None:
    images = torch.jit.script(encode_image)(scene.images)
    state = torch.jit.script(pack_state)(scene.sparse, images, scene.size)
    dense = torch.jit.script(dense_frames)(state, scene.size, 0, 4)
    fused = torch.jit.script(fuse_frames)(state, dense, scene.size, 0, 4)
    torch.testing.assert_close(fused, result, rtol=1e-4, atol=1e-4)


def test_confidence_is_one_without_reliability(scene: DenseScene, result: Tensor) -> None:
    reliability = torch.tensor([1.0, 0.0, 0.5, 1.0])
    weak = reconstruct(scene._replace(sparse=scene.sparse._replace(reliability=reliability)))
    assert (weak[1, 1] == 1).all()
    torch.testing.assert_close(weak[2, 1] - 1, 0.5 * (result[2, 1] - 1))


def test_a_depth_is_known_or_its_confidence_is_one(result: Tensor) -> None:
    """No percentile of the confidence may turn unknown pixels into points."""
    confidence = result[:, 1]
    assert ((confidence == 1) | (confidence >= 1.05)).all()
    assert (confidence == 1).any() and (confidence >= 1.05).any()


def test_unregistered_frame_is_unknown(scene: DenseScene) -> None:
    registered = torch.tensor([True, True, False, True])
    visible = scene.sparse.visible & registered
    sparse = scene.sparse._replace(registered=registered, visible=visible)
    result = reconstruct(scene._replace(sparse=sparse))
    assert (result[2, 1] == 1).all()
    assert torch.isfinite(result).all() and (result[:, 0] > 0).all()
    assert (result[[0, 1, 3], 1] >= 1.05).double().mean() > 0.5


@pytest.mark.parametrize("count", [1, 2])
def test_no_points_no_confidence(scene: DenseScene, count: int) -> None:
    nothing = scene.sparse._replace(
        rotations=scene.sparse.rotations[:count],
        translations=scene.sparse.translations[:count],
        focal=scene.sparse.focal[:count],
        bend=scene.sparse.bend[:count],
        report=scene.sparse.report[:count],
        registered=torch.zeros(count, dtype=torch.bool),
        points=torch.zeros(0, 3, dtype=torch.float64),
        visible=torch.zeros(0, count, dtype=torch.bool),
        reliability=torch.zeros(count),
        links=scene.sparse.links[:count],
    )
    result = reconstruct(scene._replace(sparse=nothing, images=scene.images[:count]))
    assert (result[:, 1] == 1).all()
    assert torch.isfinite(result).all() and (result[:, 0] > 0).all()


def test_images_without_texture_are_not_confident(scene: DenseScene) -> None:
    result = reconstruct(scene._replace(images=torch.full_like(scene.images, 0.5)))
    assert (result[:, 1] < 1.05).all()
    assert torch.isfinite(result).all() and (result[:, 0] > 0).all()


def test_state_keeps_cameras_and_images(scene: DenseScene) -> None:
    images = encode_image(scene.images)
    assert images.shape == (4, image_length(HEIGHT, WIDTH))
    state = pack_state(scene.sparse, images, scene.size)
    assert state.shape == (4, HEADER + 3 * LINKS + HEIGHT * WIDTH)
    cameras = unpack_cameras(state, scene.size)
    assert cameras.shape == (4, 24)
    torch.testing.assert_close(
        cameras[:, :12].reshape(4, 3, 4)[:, :, 3], scene.sparse.translations.float()
    )
    middle = [FOCAL, 0, (WIDTH - 1) / 2, 0, FOCAL, (HEIGHT - 1) / 2, 0, 0, 1]
    assert cameras[1, 12:21].tolist() == middle
    assert (cameras[:, 21] == 1).all()
    assert (cameras[:, 22:] == 0).all()


def test_encoding_does_not_depend_on_the_batch(scene: DenseScene) -> None:
    together = encode_image(scene.images)
    alone = torch.cat([encode_image(scene.images[i : i + 1]) for i in range(4)])
    assert torch.equal(together, alone)
