"""The parts of the dense stage against reference implementations or known results."""

import torch
from torch.nn import functional

from weights.mvs.box import box_mean, halve, running_sum, shifted
from weights.mvs.depth import lowest_label
from weights.mvs.fattening import fattened, spread
from weights.mvs.filling import fill
from weights.mvs.fragments import connected_labels, part_of_fragment
from weights.mvs.neighbours import inverse_depth_range, rank_neighbours
from weights.mvs.smoothing import aggregate_direction
from weights.mvs.surroundings import enclosed, surface_support
from weights.tests.dense_scene import make_dense_scene


def random(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(5))


def test_running_sum() -> None:
    values = random(2, 3, 40)
    for length in (1, 2, 3, 5, 11, 16):
        expected = values.unfold(2, length, 1).sum(-1)
        torch.testing.assert_close(running_sum(values, length, 2), expected)


def test_box_mean_is_average_pooling_with_repeated_edges() -> None:
    images = random(2, 13, 17)
    padded = functional.pad(images, [2, 2, 2, 2], mode="replicate")
    expected = functional.avg_pool2d(padded, 5, 1)
    torch.testing.assert_close(box_mean(images, 2), expected)


def test_halve_repeats_odd_edges() -> None:
    images = random(1, 5, 6)
    result = halve(images)
    assert result.shape == (1, 3, 3)
    torch.testing.assert_close(result[0, 0, 0], images[0, :2, :2].mean())
    torch.testing.assert_close(result[0, 2, 1], images[0, 4, 2:4].mean())


def test_shifted() -> None:
    image = torch.arange(12.0).reshape(3, 4)
    assert shifted(image, 1, -2)[0].tolist() == [4, 4, 4, 5]
    assert shifted(image, -1, 1)[0].tolist() == [1, 2, 3, 3]


def test_lowest_label_finds_the_vertex_of_a_parabola() -> None:
    labels = torch.arange(9.0)[:, None, None]
    truth = torch.tensor([[0.0, 2.3, 4.0, 6.8, 8.0]])
    torch.testing.assert_close(lowest_label((labels - truth).square()), truth)


def test_smoothing_follows_the_recurrence_of_path_costs() -> None:
    cost = random(6, 1, 5, 3)
    penalty = 0.3 + random(6, 1, 1, 3)
    result = aggregate_direction(cost, 0.1, penalty)
    for path in range(3):
        previous = cost[0, 0, :, path].tolist()
        for step in range(1, 6):
            lowest = min(previous)
            jump = lowest + float(penalty[step, 0, 0, path])
            current = []
            for label in range(5):
                options = [previous[label], jump]
                options += [previous[k] + 0.1 for k in (label - 1, label + 1) if 0 <= k < 5]
                current.append(float(cost[step, 0, label, path]) + min(options) - lowest)
            torch.testing.assert_close(result[step, 0, :, path], torch.tensor(current))
            previous = current


def test_fill_keeps_known_values_and_fills_holes() -> None:
    ramp = torch.linspace(1, 2, 40)[None].expand(30, 40)
    known = torch.ones(30, 40)
    known[10:20, 15:25] = 0
    filled = fill(torch.where(known > 0, ramp, torch.zeros(())), known, 9.0)
    torch.testing.assert_close(filled[known > 0], ramp[known > 0])
    assert (filled - ramp).abs().max() < 0.15
    assert (fill(ramp, torch.zeros(30, 40), 9.0) == 9).all()


def test_connected_labels() -> None:
    first, second = torch.tensor([0, 1, 5, 7, 8]), torch.tensor([1, 2, 4, 8, 9])
    labels = connected_labels(10, first, second)
    pieces = {}
    for pixel, label in enumerate(labels.tolist()):
        pieces.setdefault(label, []).append(pixel)
    assert sorted(pieces.values()) == [[0, 1, 2], [3], [4, 5], [6], [7, 8, 9]]


def test_long_chain_is_one_component() -> None:
    order = torch.randperm(5000, generator=torch.Generator().manual_seed(1))
    labels = connected_labels(5000, order[:-1], order[1:])
    assert (labels == labels[0]).all()


def test_fragments_are_small_and_isolated() -> None:
    inverse = torch.ones(60, 80)
    inverse[10:13, 10:13] = 2.0
    known = torch.zeros(60, 80, dtype=torch.bool)
    known[30:] = True
    known[10:13, 10:13] = True
    fragment = part_of_fragment(inverse, known)
    assert fragment[10:13, 10:13].all()
    assert int(fragment.sum()) == 9


def test_support_counts_similar_depth() -> None:
    inverse = torch.ones(41, 41)
    inverse[:, 20:] = 2.0
    support = surface_support(inverse, torch.ones(41, 41, dtype=torch.bool))
    assert support[20, 5] == 1
    assert 0.5 < float(support[20, 19]) < 0.7


def test_enclosed_needs_all_four_sides() -> None:
    inverse = torch.ones(20, 20)
    evident = torch.zeros(20, 20, dtype=torch.bool)
    evident[5, :] = True
    evident[15, :] = True
    evident[5:16, 2] = True
    evident[5:16, 17] = True
    held = enclosed(inverse, evident)
    assert held[10, 10]
    assert not held[2, 10] and not held[10, 0]
    inverse[10, 10] = 1.2
    assert not enclosed(inverse, evident)[10, 10]


def test_enclosed_surface_is_planar() -> None:
    evident = torch.zeros(20, 20, dtype=torch.bool)
    evident[[2, 17], :] = True
    evident[:, [2, 17]] = True
    plane = 1.0 + 0.05 * torch.arange(20.0)[None].expand(20, 20).contiguous()
    assert enclosed(plane, evident)[3:17, 3:17].all()
    behind = torch.where(evident, 2.0, 1.0)
    behind[:, 17] = 1.0
    assert not enclosed(behind, evident)[10, 10]


def test_plain_surface_beside_an_edge_may_be_fattened() -> None:
    grey = torch.full((60, 80), 0.8)
    grey[20:40, 30:50] = 0.2
    inverse = torch.ones(60, 80)
    inverse[16:44, 26:54] = 2.0
    doubtful = fattened(inverse, grey)
    assert doubtful[30, 27] and doubtful[17, 40]
    assert not doubtful[:10].any() and not doubtful[24:36, 34:46].any()
    textured = grey + 0.3 * random(60, 80)
    assert fattened(inverse, textured).double().mean() < 0.01


def test_spread_stays_on_the_surface() -> None:
    inverse = torch.ones(9, 30)
    inverse[:, 15:] = 1.5
    marked = torch.zeros(9, 30, dtype=torch.bool)
    marked[4, 12] = True
    reached = spread(marked, torch.ones_like(marked), inverse, 5)
    assert reached[4, 7:15].all()
    assert not reached[:, 15:].any() and not reached[4, :7].any()


def test_neighbours_and_ranges_come_from_shared_points() -> None:
    sparse = make_dense_scene().sparse
    ranked = rank_neighbours(sparse, 6)
    assert ranked.shape == (4, 6)
    assert sorted(ranked[0].tolist()) == [-1, -1, -1, 1, 2, 3]
    assert ranked[0, 3:].tolist() == [-1, -1, -1]
    ranges = inverse_depth_range(sparse)
    depth = (sparse.points + sparse.translations[0])[:, 2]
    assert (ranges[0, 0] < 1 / depth.max()) and (ranges[0, 2] > 1 / depth.min())
    unseen = sparse._replace(visible=torch.zeros_like(sparse.visible))
    assert (rank_neighbours(unseen, 6) == -1).all()
