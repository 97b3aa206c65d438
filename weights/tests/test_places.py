"""Vectors of frames, by which those of one place are found."""

import torch

from weights.mvs.features import unpack_features
from weights.mvs.places import describe_places
from weights.tests.sparse_scene import feature_rows, scene


def test_frames_of_one_place_have_similar_vectors():
    here = unpack_features(feature_rows(scene(4, count=500)))
    elsewhere = unpack_features(feature_rows(scene(4, seed=5, count=500)))
    describe = torch.jit.script(describe_places)
    one, other = describe(here), describe(elsewhere)
    assert one.shape == (4, 4096) and one.dtype == torch.float32
    assert torch.allclose(one.norm(dim=1), torch.ones(4), atol=1e-5)
    same, different = one @ one.t(), one @ other.t()
    assert same.min() > different.max() + 0.2


def test_a_vector_depends_on_its_frame_only():
    rows = feature_rows(scene(3, count=300))
    together = describe_places(unpack_features(rows))
    for i in range(3):
        assert torch.equal(describe_places(unpack_features(rows[i : i + 1]))[0], together[i])


def test_a_frame_without_features_has_no_vector():
    rows = feature_rows(scene(2, count=300))
    rows[1] = 0.0
    vectors = describe_places(unpack_features(rows))
    assert vectors[0].norm() > 0.99 and (vectors[1] == 0).all()
