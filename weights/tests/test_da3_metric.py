"""The metric models, with tiny networks and random weights."""

import pytest
import torch

from weights.da3.alignment import aligned, metric_scale
from weights.da3.far_sky import thinned, with_far_sky
from weights.da3.packing import columns_of_maps, maps_of_columns
from weights.da3.variants import build_model
from weights.tests.da3_networks import TINY_METRIC, TINY_NESTED, random_network, smooth_frames

SIZE = torch.tensor([42, 56])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_packed_maps_are_restored_exactly(dtype: torch.dtype) -> None:
    maps = torch.randn(2, 3, 28, 42, generator=torch.Generator().manual_seed(0)).exp()
    columns = torch.jit.script(columns_of_maps)(maps, dtype)
    assert columns.dtype == dtype and columns.shape[:2] == (2, 6)
    assert torch.equal(torch.jit.script(maps_of_columns)(columns, 28, 42), maps)


def test_monocular_model_registers_the_first_frame_only() -> None:
    model = build_model(random_network(TINY_METRIC))
    state = model.relate(model.encode(smooth_frames(3, 42, 56)), SIZE)
    cameras = model.cameras(state, SIZE)
    dense = model.dense(state, SIZE, torch.tensor([0, 3]))
    assert cameras[:, 21].tolist() == [1, 0, 0]
    assert torch.equal(cameras[:, :12].view(3, 3, 4), torch.eye(3, 4).expand(3, 3, 4))
    assert cameras[0, 12] == cameras[0, 16] == pytest.approx(70 * 26 / 43.27)
    assert (dense[0, 1] == 2).any() and (dense[0, 1] == 1).any()
    assert (dense[1:, 1] == 1).all()
    assert len(dense[1:, 0].unique()) > 100


def test_known_cameras_are_kept_in_the_frame_of_the_first() -> None:
    model = build_model(random_network(TINY_METRIC))
    features = model.encode(smooth_frames(2, 42, 56))
    first = [0, 0, 1, 2, 0, 1, 0, 3, -1, 0, 0, 4]
    second = [0, 0, 1, 2.5, 0, 1, 0, 3, -1, 0, 0, 4]
    rows = torch.tensor([[*row, 50, 0, 27.5, 0, 60, 20.5, 0, 0, 1] for row in (first, second)])
    found = model.cameras(model.relate_posed(features, rows, SIZE), SIZE)
    assert torch.equal(found[:, 12:21], rows[:, 12:])
    assert found[:, 21].tolist() == [1, 1]
    expected = torch.eye(3, 4).repeat(2, 1, 1)
    expected[1, 0, 3] = 0.5
    torch.testing.assert_close(found[:, :12].view(2, 3, 4), expected)


def test_depth_of_a_monocular_frame_does_not_depend_on_the_others() -> None:
    model = build_model(random_network(TINY_METRIC))
    pixels = smooth_frames(3, 42, 56)
    together = model.relate(model.encode(pixels), SIZE)
    alone = model.relate(model.encode(pixels[1:2]), SIZE)
    dense = model.dense(together, SIZE, torch.tensor([1, 2]))
    assert torch.equal(dense[:, 0], model.dense(alone, SIZE, torch.tensor([0, 1]))[:, 0])


def test_sky_is_as_far_as_the_farthest_pixels() -> None:
    depth = torch.arange(1.0, 3001.0).view(3, 10, 100)
    sky = torch.zeros(3, 10, 100, dtype=torch.bool)
    assert torch.equal(with_far_sky(depth, sky), depth)
    sky[1, 0] = True
    sky[2] = True
    found = with_far_sky(depth, sky)
    assert torch.equal(found[0], depth[0])
    assert torch.equal(found[1, 1:], depth[1, 1:])
    assert (found[1, 0] == torch.quantile(depth[1, 1:].flatten(), 0.99)).all()
    assert torch.equal(found[2], depth[2])


def test_scale_comes_from_confident_ground() -> None:
    generator = torch.Generator().manual_seed(0)
    depth = 1 + torch.rand(2, 20, 30, generator=generator)
    confidence = 1 + torch.rand(2, 20, 30, generator=generator)
    sky = torch.zeros(2, 20, 30)
    sky[:, :5] = 1.0
    doubtful = confidence < confidence[:, 5:].quantile(0.5)
    metres = torch.where(doubtful | (sky > 0), 77.0, 3 * depth)
    dense = torch.stack([depth, confidence, metres, sky], 1)
    assert float(metric_scale(dense)) == pytest.approx(3)
    found = aligned(dense, 1, 2)
    torch.testing.assert_close(found[0, 0, 5:], 3 * depth[1, 5:])
    torch.testing.assert_close(found[0, 1, 5:], confidence[1, 5:])
    assert (found[0, 1, :5] == 1).all()
    assert (found[0, 0, :5] == found[0, 0, 0, 0]).all()
    assert 3 < float(found[0, 0, 0, 0]) < 6


def test_a_frame_of_sky_is_finite_and_unknown() -> None:
    dense = torch.ones(2, 4, 14, 14)
    assert float(metric_scale(dense)) == 1
    found = aligned(dense, 0, 2)
    assert (found[:, 0] == 200).all() and (found[:, 1] == 1).all()


def test_statistics_over_many_values_use_every_kth() -> None:
    maps = torch.arange(20).view(1, 2, 2, 5)
    assert thinned(maps, 1, 10)[0, 0].tolist() == list(range(10))
    assert thinned(maps, 1, 4)[0, 1].tolist() == [10, 13, 16, 19]
    assert thinned(maps, 2, 10)[0, 0].tolist() == [0, 2, 4, 6, 8]


def test_nested_frames_are_described_by_the_any_view_network() -> None:
    model = build_model(random_network(TINY_NESTED))
    vectors = model.describe(model.encode(smooth_frames(3, 42, 56)), SIZE)
    width = random_network(TINY_NESTED).da3.backbone.pretrained.width
    assert vectors.shape == (3, width)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_nested_chunks_equal_those_of_all() -> None:
    model = build_model(random_network(TINY_NESTED))
    features = model.encode(smooth_frames(4, 42, 56))
    state = model.relate(features, SIZE)
    ranges = [torch.tensor([begin, begin + 1]) for begin in range(4)]
    dense = torch.cat([model.dense(state, SIZE, part) for part in ranges])
    at_once = model.dense(state, SIZE, torch.tensor([0, 4]))
    torch.testing.assert_close(dense, at_once, rtol=1e-5, atol=1e-5)
    parts = [model.fuse(state, dense, SIZE, part) for part in ranges]
    assert torch.equal(torch.cat(parts), model.fuse(state, dense, SIZE, torch.tensor([0, 4])))
