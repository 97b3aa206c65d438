"""The evaluation on photos: scores have known values on rendered photos, and tables list them."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from weights import evaluate
from weights.contract import save_archive
from weights.evaluation.landmarks import Landmarks, choose_pairs, find_landmarks
from weights.evaluation.on_photos import PhotoRun, cost_table, runs_table, summary_table
from weights.evaluation.photo_sets import FULL, SUITES, ZOOM, PhotoSet, photo_sets
from weights.evaluation.photos import Photos, read_folder, read_photo
from weights.evaluation.preparation import Device, prepare, preprocess
from weights.evaluation.report import write_between_marks
from weights.evaluation.run import Outcome, measure, run_apart
from weights.evaluation.scores import Scores, collapse, score, umeyama
from weights.scenes import Rendering
from weights.scenes.cameras import rotation_y
from weights.tests.archives import METADATA, FlatModel
from weights.tests.photo_folder import (
    HEIGHT,
    VIEWS,
    WIDTH,
    exact_outcome,
    render_folder,
    write_reference,
)

GOLDEN = Path(__file__).parents[2] / "reconstruction" / "tests" / "golden"
SIDE = 252
PATCH = 14


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rendering]:
    folder = tmp_path_factory.mktemp("photos") / "room"
    return folder, render_folder(folder)


@pytest.fixture(scope="module")
def photos(scene: tuple[Path, Rendering]) -> Photos:
    return read_folder(scene[0], 100)


@pytest.fixture(scope="module")
def landmarks(photos: Photos) -> Landmarks:
    return find_landmarks(photos)


def as_set(frames: list[int], devices: tuple[Device, ...] | None = None) -> PhotoSet:
    return PhotoSet("", "", tuple(frames), devices or (Device(),) * len(frames))


def scores_of(
    scene: tuple[Path, Rendering],
    photos: Photos,
    landmarks: Landmarks,
    chosen: PhotoSet,
    **changes: Any,
) -> Scores:
    """Scores of the ground truth with some arrays replaced."""
    prepared = prepare(photos, chosen.frames, chosen.devices, SIDE, PATCH)
    outcome = exact_outcome(scene[1], list(chosen.frames), prepared)
    return score(photos, landmarks, chosen, prepared, outcome._replace(**changes))


@pytest.mark.parametrize("name", ["landscape-98", "landscape-151", "portrait-154"])
def test_photos_are_resized_as_by_the_service(name: str) -> None:
    kind, side = name.split("-")
    source = read_photo(GOLDEN / "sources" / f"{kind}.png")
    expected = read_photo(GOLDEN / "processed" / f"{name}-upper_bound_resize.png")
    found = preprocess(source, int(side), PATCH)
    # OpenCV's rounding differs by processor.
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


def test_sizes_are_those_of_the_service() -> None:
    sizes = json.loads((GOLDEN / "sizes.json").read_text())
    chosen = [row for row in sizes if row[3] == "upper_bound_resize" and row[2] < 300]
    assert len(chosen) > 5
    for width, height, side, _, *expected in chosen:
        result = preprocess(np.zeros((height, width, 3), np.uint8), side, PATCH)
        assert [*result.shape[1::-1]] == expected


def test_pixels_keep_their_place_through_zoom_reduction_and_crop(tmp_path: Path) -> None:
    """A white dot in the photo is where the map says, also in photos larger than the reference."""
    dot = np.array([130.5, 100.5])
    for name, factor in (("0", 1), ("1", 3), ("2", 1)):
        photo = np.zeros((HEIGHT * factor, WIDTH * factor, 3), np.uint8)
        x, y = (factor * dot).astype(int)
        photo[y - factor : y + factor + 1, x - factor : x + factor + 1] = 255
        Image.fromarray(photo).save(tmp_path / f"{name}.png")
    write_reference(tmp_path, np.zeros((0, 3, 4), np.float32), 300.0)
    photos = read_folder(tmp_path, 9)
    devices = [Device(), Device(ZOOM, 0.75), Device(1.25, 0.5)]
    prepared = prepare(photos, range(3), devices, 170, PATCH)
    mapped = prepared.to_frame(np.arange(3), np.tile(dot, (3, 1)))
    height, width = prepared.images.shape[1:3]
    y, x = np.mgrid[:height, :width] + 0.5
    for image, place in zip(prepared.images[..., 0].astype(float), mapped, strict=True):
        found = [(image * x).sum() / image.sum(), (image * y).sum() / image.sum()]
        np.testing.assert_allclose(found, place, atol=0.6)
    zoom = (prepared.scale / prepared.scale[0]).mean(axis=1)
    np.testing.assert_allclose(zoom, [1, ZOOM, 1.25], rtol=0.03)


def test_landmarks_have_the_true_depth(scene: tuple[Path, Rendering], landmarks: Landmarks) -> None:
    depth = scene[1].depth
    column, row = np.floor(landmarks.pixel).astype(int).T
    errors = np.abs(landmarks.depth / depth[landmarks.frame, row, column] - 1)
    assert len(errors) > 300
    assert np.median(errors) < 0.005
    assert (errors < 0.05).mean() > 0.95
    assert VIEWS - 1 not in landmarks.frame, "its pose is not known"
    assert landmarks.shared([0, 1, 2]) > landmarks.shared([0, 1, 2, 3, 4]) > 0


def test_distortion_is_removed_and_included_in_the_focal_length(photos: Photos) -> None:
    bent = Photos("", [], (200, 100), 100.0, -0.1, np.zeros((0, 3, 4)))
    ray = np.array([0.6, 0.3])
    pixel = 100 * ray * (1 - 0.1 * (ray @ ray)) + [100, 50]
    np.testing.assert_allclose(bent.rays(pixel), ray)
    grid = np.array([[x, y] for x in range(0, 201, 20) for y in range(0, 101, 20)], float)
    assert 85 < bent.pinhole_focal(grid) < 95
    assert photos.pinhole_focal(grid + 1) == pytest.approx(photos.focal)


def test_ground_truth_has_no_errors(
    scene: tuple[Path, Rendering], photos: Photos, landmarks: Landmarks
) -> None:
    found = scores_of(scene, photos, landmarks, as_set(list(range(VIEWS))))
    assert (found.frames, found.registered, found.collapse) == (VIEWS, VIEWS, "")
    assert found.auc5 == found.auc30 == 1
    assert found.position < 1e-5
    assert found.worst_focal() < 1e-5
    assert found.known == 1
    assert found.landmarks > 300
    assert found.off < 0.03
    assert found.close > 0.95


def test_order_of_photos_does_not_matter(
    scene: tuple[Path, Rendering], photos: Photos, landmarks: Landmarks
) -> None:
    found = scores_of(scene, photos, landmarks, as_set([4, 5, 1, 3, 0]))
    assert found.auc30 == 1
    assert found.position < 1e-5
    assert found.off < 0.03


def test_frames_that_are_not_registered_count_as_wrong(
    scene: tuple[Path, Rendering], photos: Photos, landmarks: Landmarks
) -> None:
    registered = np.array([True, True, True, True, False])
    chosen = as_set(list(range(5)))
    found = scores_of(scene, photos, landmarks, chosen, registered=registered)
    assert found.registered == 4
    assert (found.auc5, found.auc30) == pytest.approx((0.6, 0.6))
    assert found.position < 1e-5


def test_one_frame_of_another_scale_is_off(
    scene: tuple[Path, Rendering], photos: Photos, landmarks: Landmarks
) -> None:
    chosen = as_set(list(range(5)))
    prepared = prepare(photos, chosen.frames, chosen.devices, SIDE, PATCH)
    depth = exact_outcome(scene[1], list(range(5)), prepared).depth
    depth[2] *= 1.2
    found = scores_of(scene, photos, landmarks, chosen, depth=7 * depth)
    share = (landmarks.frame == 2).mean()
    assert found.off == pytest.approx(share, abs=0.03)
    assert found.close == pytest.approx(1 - share, abs=0.05)
    confidence = np.full_like(depth, 2.0)
    confidence[2] = 1
    found = scores_of(scene, photos, landmarks, chosen, depth=depth, confidence=confidence)
    assert found.off < 0.03
    assert found.known == pytest.approx(4 / 5)


def test_focal_errors_are_those_of_each_zoom(
    scene: tuple[Path, Rendering], photos: Photos, landmarks: Landmarks
) -> None:
    devices = tuple((Device(), Device(ZOOM, 0.75))[k % 2] for k in range(5))
    chosen = as_set(list(range(5)), devices)
    found = scores_of(scene, photos, landmarks, chosen)
    assert [row[:2] for row in found.focal] == [(1.0, 3), (ZOOM, 2)]
    assert found.worst_focal() < 1e-5
    assert found.off < 0.03
    # A model that gives all frames the focal length of the first ones.
    prepared = prepare(photos, chosen.frames, chosen.devices, SIDE, PATCH)
    outcome = exact_outcome(scene[1], list(range(5)), prepared)
    same = np.repeat(outcome.intrinsics[:1], 5, axis=0)
    found = scores_of(scene, photos, landmarks, chosen, intrinsics=same)
    assert found.focal[0][2] == pytest.approx(0, abs=1e-5)
    assert found.focal[1][2] == pytest.approx(1 / ZOOM - 1, abs=0.03)


def outcome(position: float = 1.0, depth: float = 2.0) -> Outcome:
    """Two frames at a distance."""
    extrinsics = np.stack([np.eye(3, 4), np.eye(3, 4)]).astype(np.float32)
    extrinsics[1, 0, 3] = position
    return Outcome(
        depth=np.full((2, 4, 6), depth, np.float32),
        confidence=np.full((2, 4, 6), 1.5, np.float32),
        extrinsics=extrinsics,
        intrinsics=np.stack([np.eye(3), np.eye(3)]).astype(np.float32),
        distortion=np.zeros((2, 2), np.float32),
        registered=np.ones(2, np.bool_),
        seconds=0.0,
        memory=0.0,
    )


@pytest.mark.parametrize(
    ("position", "depth", "reason"),
    [
        (1.0, 2.0, ""),
        (1e5, 2.0, "far cameras"),
        (1e-7, 2.0, "no baseline"),
        (1e-9, 1e-8, "unit"),
        (float("nan"), 2.0, "not finite"),
        (1.0, float("inf"), "not finite"),
    ],
)
def test_collapse(position: float, depth: float, reason: str) -> None:
    assert collapse(outcome(position, depth)) == reason


def test_similarity_moves_points_onto_others() -> None:
    points = np.random.default_rng(0).standard_normal((5, 3))
    moved = 3 * points @ rotation_y(np.array(0.7)).T + [1, 2, 3]
    np.testing.assert_allclose(umeyama(points, moved), moved)
    assert np.isfinite(umeyama(np.zeros((4, 3)), points[:4])).all()


@pytest.mark.parametrize("suite", SUITES)
def test_sets_of_a_suite_are_the_same_each_time(suite: str) -> None:
    sets = photo_sets(11, lambda _: 100, suite)
    assert sets == photo_sets(11, lambda _: 100, suite)
    assert sets[0].frames == tuple(range(11))
    names = [each.name for each in sets]
    assert len(set(names)) == len(names)
    for each in sets:
        assert len(set(each.frames)) == len(each.frames) == len(each.devices) >= 3
        assert set(each.frames) <= set(range(11))


def test_full_suite_has_all_kinds() -> None:
    sets = photo_sets(70, lambda _: 100, "full")
    of_kind = {kind: sum(each.kind == kind for each in sets) for kind in {e.kind for e in sets}}
    assert of_kind == {
        "all": 1,
        "thinned": 8,
        "first": 4,
        "order": 3,
        "random 3": 3,
        "random 5": 3,
        "random 8": 3,
        "random 14": 3,
        "sampling": 3,
        "noise": 6,
        "devices": 2,
    }


def test_same_photos_are_measured_once() -> None:
    names = {each.name for each in photo_sets(11, lambda _: 100, "sampling")}
    assert names == {"all", "photos at 0.75 of their size", "photos at 0.5 of their size"}
    assert "photos at full size" in {e.name for e in photo_sets(30, lambda _: 100, "sampling")}


def test_random_threes_overlap() -> None:
    near = [
        each
        for each in photo_sets(70, lambda frames: 100 * (frames[-1] - frames[0] < 20), "random")
        if each.kind == "random 3"
    ]
    assert len(near) == 3
    assert all(each.frames[-1] - each.frames[0] < 20 for each in near)
    kinds = {each.kind for each in photo_sets(70, lambda _: 0, "random")}
    assert "random 3" not in kinds
    assert "random 5" in kinds


def test_pairs_of_many_photos_are_near_ones_and_look_alike() -> None:
    count = 40
    turns = rotation_y(np.where(np.arange(count) < 20, 0.0, np.pi))
    places = -np.stack([np.arange(count), 0 * np.arange(count), 0 * np.arange(count)], axis=1)
    moves = np.einsum("nij,nj->ni", turns, places.astype(float))[:, :, None]
    pairs = choose_pairs(np.concatenate([turns, moves], axis=2))
    assert all((a < 20) == (b < 20) for a, b in pairs)
    assert {(0, 1), (0, 2), (5, 6)} <= set(pairs)
    assert len(pairs) < 2 * 19 * 20 / 2


def test_folder_without_reference_has_no_pose_errors(tmp_path: Path) -> None:
    for index in range(12):
        Image.new("RGB", (84, 56), (index, 0, 0)).save(tmp_path / f"{index}.jpg")
    alone = read_folder(tmp_path, 6)
    assert [path.name for path in alone.paths] == [f"{k}.jpg" for k in range(0, 12, 2)]
    assert not alone.referenced.any()
    points = find_landmarks(alone)
    assert len(points.frame) == 0
    chosen = as_set([0, 1, 2])
    prepared = prepare(alone, chosen.frames, chosen.devices, 84, PATCH)
    result = score(alone, points, chosen, prepared, None)
    assert result.collapse == "failed"
    assert np.isnan(result.auc30)


def test_wrong_reference_is_refused(tmp_path: Path, scene: tuple[Path, Rendering]) -> None:
    with pytest.raises(SystemExit, match="not a folder"):
        read_folder(tmp_path / "missing", 9)
    with pytest.raises(SystemExit, match="no photos"):
        read_folder(tmp_path, 9)
    Image.new("RGB", (100, 100)).save(tmp_path / "0.png")
    (tmp_path / "colmap.json").write_text('{"size": [336, 252]}')
    with pytest.raises(SystemExit, match="another form"):
        read_folder(tmp_path, 9)
    write_reference(tmp_path, scene[1].extrinsics, 300.0)
    with pytest.raises(SystemExit, match="aspect ratio"):
        read_folder(tmp_path, 9)


def test_run_in_another_process_gives_the_result_or_none(tmp_path: Path) -> None:
    archive = tmp_path / "model.pt"
    save_archive(torch.jit.script(FlatModel(raise_on_black=True).eval()), METADATA, archive)
    images = np.full((2, 28, 56, 3), 99, np.uint8)
    apart, here = run_apart(archive, images), measure(archive, images, "cpu")
    assert apart is not None
    for found, expected in zip(apart[:5], here[:5], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert apart.seconds > 0
    assert 0 < apart.memory < 1e9
    assert run_apart(archive, np.zeros_like(images)) is None


def test_command_prints_tables_and_compares(
    scene: tuple[Path, Rendering],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    archive, document = tmp_path / "flat.pt", tmp_path / "README.md"
    save_archive(torch.jit.script(FlatModel().eval()), METADATA, archive)
    document.write_text("a\n<!-- photos:begin -->\nold\n<!-- photos:end -->\nb\n")
    # In this process, which is faster.
    monkeypatch.setattr(
        "weights.evaluation.on_photos.run_apart",
        lambda path, images, device, threads: measure(path, images, device),
    )
    command = ["evaluate", str(archive), "--photos", str(scene[0]), "--suite", "noise"]
    limits = ["--process-res", "84", "--max-frames", "3", "--document", str(document)]
    few = dataclasses.replace(FULL, noises=1)
    monkeypatch.setattr("weights.evaluation.photo_sets.FULL", few)
    monkeypatch.setattr(sys, "argv", [*command, "--compare", str(archive), *limits])
    evaluate.main()
    printed = capsys.readouterr().out
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines() if line[:1] == "|"]
    runs = [row for row in rows if row[0] in ("all", "noise of one grey level, 0")]
    assert [row[2] for row in runs] == ["A", "B", "A", "B"]
    assert all(row[3] == "3 of 3" for row in runs)
    assert any(row[0] == "room" and row[1] == "**together**" for row in rows)
    assert any(row[:2] == ["room", "2"] for row in rows)
    written = document.read_text()
    assert written.startswith("a\n<!-- photos:begin -->\nA: `flat` 1.0.0")
    assert written.endswith("\n<!-- photos:end -->\nb\n")
    assert "**together**" in written
    assert "noise of one grey level" not in written


def run(name: str, archive: str, scores: Scores, seconds: float) -> PhotoRun:
    chosen = PhotoSet("order", name, (0, 1, 2), (Device(),) * 3)
    return PhotoRun("room", chosen, 504, archive, scores, seconds, 2e6 * seconds)


def cells(markdown: str) -> list[dict[str, str]]:
    """The rows of a table by their headings."""
    headings, _, *rows = (line.strip("| ").split(" | ") for line in markdown.splitlines())
    return [dict(zip(headings, row, strict=True)) for row in rows]


def test_summary_has_medians_and_worst_values() -> None:
    runs = [
        run("a", "A", Scores(3, 3, 0.9, 0.95, 0.01, ((1.0, 3, -0.04),), 0.5, 90, 0.1, 0.8), 1.0),
        run("b", "A", Scores(3, 3, 0.7, 0.9, 0.02, ((1.0, 3, 0.02),), 0.4, 90, 0.2, 0.7), 2.0),
        run("c", "A", Scores(3, 0, 0.0, 0.0, collapse="failed"), float("nan")),
    ]
    together = cells(summary_table(runs))[-1]
    assert together == {
        "photos": "room",
        "sets": "**together**",
        "runs": "3",
        "collapsed": "1",
        "registered": "67 %",
        "AUC@5": "0.70, 0.00",
        "AUC@30": "0.90, 0.00",
        "position": "1.5 %, 2.0 %",
        "focal": "3.0 %, 4.0 %",
        "known": "40 %, 0 %",
        "off": "15.0 %, 20.0 %",
        "close": "75.0 %, 70.0 %",
        "seconds": "3",
        "MB": "4",
    }
    assert cells(runs_table(runs))[2]["collapse"] == "failed"


def test_costs_are_compared_where_both_completed() -> None:
    scores = Scores(3, 3)
    runs = [run("a", "A", scores, 1.0), run("a", "B", scores, 1.5)]
    runs += [run("b", "A", scores, 3.0), run("b", "B", scores, 1.5)]
    runs += [run("c", "A", scores, 9.0), run("c", "B", scores, float("nan"))]
    (row,) = cells(cost_table(runs))
    assert (row["runs"], row["time, all"]) == ("2", "0.75")
    assert row["memory, all"] == "0.75"


def test_marks_are_required(tmp_path: Path) -> None:
    document = tmp_path / "README.md"
    document.write_text("<!-- photos:begin -->\n")
    with pytest.raises(SystemExit, match="photos:end"):
        write_between_marks(document, "report", "photos")
