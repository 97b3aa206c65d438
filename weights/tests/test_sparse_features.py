"""Feature detection and matching."""

import torch

from weights.mvs.descriptor import rolled
from weights.mvs.features import encode_features, feature_length, unpack_features
from weights.mvs.matching import match_frames
from weights.mvs.overlap import candidate_pairs
from weights.tests.sparse_scene import feature_rows, generator, scene


def textured(height: int, width: int, seed: int = 0) -> torch.Tensor:
    """An image [3, height, width] with texture at all scales."""
    random = generator(seed)
    picture = torch.zeros(1, 3, height, width)
    for cells in (4, 9, 20, 45):
        noise = torch.rand(1, 3, cells, cells, generator=random)
        picture += torch.nn.functional.interpolate(noise, size=(height, width), mode="bicubic")
    return (picture[0] / 4.0).clamp(0, 1)


def test_rows_do_not_depend_on_the_grouping():
    images = torch.stack([textured(98, 126, seed) for seed in range(3)])
    together = encode_features(images)
    assert together.shape == (3, feature_length(98, 126))
    apart = torch.cat([encode_features(images[i : i + 1]) for i in range(3)])
    assert torch.equal(together, apart)
    assert encode_features(images[:0]).shape == (0, feature_length(98, 126))


def test_features_follow_a_shift():
    big = textured(196, 252)
    images = torch.stack([big[:, 10:150, 10:210], big[:, 24:164, 38:238]])
    features = unpack_features(encode_features(images))
    first, second, _ = match_frames(features, 0, 1)
    moved = features.positions[1, second] - features.positions[0, first]
    expected = torch.tensor([-28.0, -14.0])
    assert first.size(0) > 30
    assert ((moved - expected).norm(dim=1) < 0.5).float().mean() > 0.95


def test_frames_match_after_quarter_turns():
    picture = textured(126, 126)
    for turns in (1, 2, 3):
        images = torch.stack([picture, torch.rot90(picture, turns, [1, 2])])
        features = unpack_features(encode_features(images))
        first, second, _ = match_frames(features, 0, 1)
        expected = features.positions[0, first]
        for _ in range(turns):
            expected = torch.stack([expected[:, 1], -expected[:, 0]], dim=1)
        error = (features.positions[1, second] - expected).norm(dim=1)
        assert first.size(0) > 30
        assert (error < 0.5).float().mean() > 0.95


def test_four_quarter_turns_change_nothing():
    descriptors = torch.rand(5, 128, generator=generator(1))
    turned = rolled(descriptors, 1)
    assert not torch.equal(turned, descriptors)
    assert torch.equal(rolled(turned, 3), descriptors)


def test_no_texture_gives_no_features():
    for image in (torch.zeros(1, 3, 56, 70), torch.ones(1, 3, 14, 14), torch.ones(1, 3, 14, 280)):
        rows = encode_features(image)
        assert rows.shape == (1, feature_length(image.size(2), image.size(3)))
        assert not unpack_features(rows).valid.any()
        assert torch.isfinite(rows).all()


def test_candidate_pairs_are_complete_for_few_frames():
    assert len(candidate_pairs(unpack_features(torch.zeros(8, feature_length(14, 14))))) == 28


def test_of_many_frames_those_are_matched_that_share_features():
    """Two places, whose photos come in turn."""
    rows = torch.cat([feature_rows(scene(15, seed=seed, count=300)) for seed in (0, 1)])
    features = unpack_features(rows[torch.arange(30).reshape(2, 15).t().reshape(-1)])
    pairs = candidate_pairs(features)
    assert pairs == sorted(pairs) and len(pairs) < 15 * 14
    assert all((first - second) % 2 == 0 for first, second in pairs)
    partners = [sum(frame in pair for pair in pairs) for frame in range(30)]
    assert min(partners) >= 10


def test_a_turned_frame_finds_its_partners_among_many():
    rows = feature_rows(scene(17, count=300))
    features = unpack_features(rows)
    turned = rolled(features.descriptors[3], 1)
    features = features._replace(descriptors=features.descriptors.clone())
    features.descriptors[3] = turned
    assert sum(3 in pair for pair in candidate_pairs(features)) >= 10
