"""The contract's tools: metadata, reproducible archives, the checker."""

import dataclasses
import json
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from weights.contract import (
    ContractError,
    Metadata,
    archive_digest,
    check_archive,
    load_archive,
    read_metadata,
    run_model,
    save_archive,
)
from weights.contract.archive import ALIGNMENT, LOCAL_HEADER_LENGTH
from weights.contract.check import noise_frames
from weights.contract.metadata import (
    OPTIONAL,
    AdjustmentNeed,
    Memory,
    MemoryNeed,
    Normalisation,
)
from weights.tests.archives import METADATA, FlatModel, write_all


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all test archives."""
    folder = tmp_path_factory.mktemp("archives")
    write_all(folder)
    return folder


def test_metadata_round_trips_through_json() -> None:
    assert Metadata.from_json(METADATA.to_json()) == METADATA


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("contract_version", 2, "contract version 2"),
        ("patch_size", "14", "patch_size is '14', expected int"),
        ("patch_size", 0, "expected >= 1"),
        ("fuse", 1, "fuse is 1, expected bool"),
        ("scale", "feet", "expected one of relative, metric"),
        ("precision", "fp8", "expected one of fp32"),
        ("max_process_res", 100, "default_process_res <= max_process_res"),
        ("license", "", "license is empty"),
        ("poses", None, "poses is None, expected bool"),
        ("source_digest", "sha256:12", "expected sha256: and 64 hex"),
        ("normalisation", [0.5], "expected lists mean and deviation"),
        ("normalisation", {"mean": [1, 2], "deviation": [1, 1, 1]}, "three finite numbers"),
        ("normalisation", {"mean": [1, 2, 3], "deviation": [1, 1, 0]}, "expected > 0"),
        ("memory", 5, "expected an object"),
        ("memory", {"cpu": {"fixed": 1}}, "expected fixed, per_pixel, per_call_pixel, per_pair"),
        (
            "memory",
            {"cpu": {"fixed": -1, "per_pixel": 0, "per_call_pixel": 0, "per_pair": 0}},
            "expected a number >= 0",
        ),
        (
            "memory",
            {
                "cpu": {
                    **{"fixed": 0, "per_pixel": 0, "per_call_pixel": 0, "per_pair": 0},
                    "adjust": {"fixed": 0},
                }
            },
            "adjust on cpu .* expected fixed, per_link, per_lens, per_shared, per_pair",
        ),
    ],
)
def test_metadata_refuses_wrong_values(field: str, value: object, message: str) -> None:
    values = {**dataclasses.asdict(METADATA), field: value}
    with pytest.raises(ContractError, match=message):
        Metadata.from_json(json.dumps(values))


def test_metadata_names_missing_fields() -> None:
    with pytest.raises(ContractError, match=r"lacks .*name.*digest"):
        Metadata.from_json('{"contract_version": 1}')


def test_optional_metadata_round_trip_and_defaults_are_omitted() -> None:
    full = dataclasses.replace(
        METADATA,
        align=True,
        poses=True,
        report=True,
        distortion=True,
        hints=True,
        normalisation=Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        memory=Memory(cuda=MemoryNeed(fixed=1, per_pixel=2.5, per_call_pixel=0, per_pair=0)),
        source_digest="sha256:" + 64 * "0",
    )
    assert Metadata.from_json(full.to_json()) == full
    assert json.loads(METADATA.to_json()).keys().isdisjoint(field.name for field in OPTIONAL)


def test_memory_of_an_adjustment_is_kept_and_that_of_older_archives_read() -> None:
    numbers = {"fixed": 1.0, "per_pixel": 2.0, "per_call_pixel": 3.0, "per_pair": 4.0}
    adjust = AdjustmentNeed(fixed=5, per_link=6, per_lens=1, per_shared=7, per_pair=8)
    need = MemoryNeed(**numbers, per_frame=9, adjust=adjust)
    full = dataclasses.replace(METADATA, memory=Memory(cpu=need))
    assert Metadata.from_json(full.to_json()) == full
    older = {**json.loads(METADATA.to_json()), "memory": {"cpu": numbers}}
    assert Metadata.from_json(json.dumps(older)).memory == Memory(cpu=MemoryNeed(**numbers))


def test_align_needs_fuse() -> None:
    with pytest.raises(ContractError, match="align is True, but fuse is False"):
        dataclasses.replace(METADATA, align=True, fuse=False)


@pytest.mark.parametrize("text", ["", "[]", "null", b"\xff\xfe"])
def test_metadata_that_is_not_an_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(ContractError, match="metadata is not"):
        Metadata.from_json(text)


def test_saving_twice_gives_the_same_bytes(archives: Path, tmp_path: Path) -> None:
    module, metadata = load_archive(archives / "flat.pt")
    for name in ("a.pt", "another name.pt"):
        save_archive(module, dataclasses.replace(metadata, digest=""), tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "another name.pt").read_bytes()


def test_archive_holds_no_path_of_a_source_file(archives: Path) -> None:
    content = (archives / "flat.pt").read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert b".debug_pkl" not in content


def test_entries_are_stored_and_aligned(archives: Path) -> None:
    content = (archives / "flat.pt").read_bytes()
    with zipfile.ZipFile(archives / "flat.pt") as archive:
        for entry in archive.infolist():
            name, extra = struct.unpack_from("<HH", content, entry.header_offset + 26)
            start = entry.header_offset + LOCAL_HEADER_LENGTH + name + extra
            assert entry.compress_type == zipfile.ZIP_STORED
            assert start % ALIGNMENT == 0


def test_digest_does_not_cover_debug_information(archives: Path, tmp_path: Path) -> None:
    module, metadata = load_archive(archives / "flat.pt")
    torch.jit.save(module, tmp_path / "raw.pt")
    assert archive_digest(tmp_path / "raw.pt") == metadata.digest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_metadata.pt", "not a pointstream model"),
        ("other_version.pt", "contract version 2"),
        ("tampered.pt", "has the digest"),
    ],
)
def test_invalid_archives_are_refused(archives: Path, name: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        load_archive(archives / name)


def test_file_that_is_not_an_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(ContractError, match="not a model archive"):
        read_metadata(tmp_path / "text.pt")


def test_missing_entry_point_is_named(tmp_path: Path) -> None:
    class Half(torch.nn.Module):
        @torch.jit.export
        def encode(self, pixels: Tensor) -> Tensor:
            return pixels

    save_archive(torch.jit.script(Half()), METADATA, tmp_path / "half.pt")
    with pytest.raises(ContractError, match="relate, cameras, dense, fuse"):
        load_archive(tmp_path / "half.pt")


def test_flat_archive_follows_the_contract(archives: Path) -> None:
    assert check_archive(archives / "flat.pt") == []


def test_reports_are_checked(archives: Path) -> None:
    assert check_archive(archives / "reporting.pt") == []
    module, metadata = load_archive(archives / "reporting.pt")
    blue = noise_frames(2, 28, 28)
    blue[1, :2] = 0
    result = run_model(module, metadata, blue)
    assert result.registered.tolist() == [True, False]
    assert result.report is not None and result.report[:, 0].tolist() == [0, 4]
    violations = "\n".join(check_archive(archives / "misreporting.pt"))
    for expected in (
        "a reason of the report is not a code",
        "a piece of the report is not an index or -1",
        "a reliability of the report is above 1",
    ):
        assert expected in violations


def plain_frames(*colours: tuple[int, int, int]) -> Tensor:
    """Frames of 28 x 28 pixels of one colour each."""
    return torch.tensor(colours, dtype=torch.uint8)[:, :, None, None].repeat(1, 1, 28, 28)


def test_frames_are_placed_among_placed_ones(archives: Path) -> None:
    assert check_archive(archives / "extending.pt") == []
    assert check_archive(archives / "adjusting.pt") == []
    module, metadata = load_archive(archives / "extending.pt")
    green, blue = (7, 200, 0), (8, 0, 200)
    first = plain_frames((1, 50, 50), (3, 50, 50), (5, 50, 50), green, blue)
    result = run_model(module, metadata, first)
    assert result.registered.tolist() == [True, True, True, False, False]
    assert result.report is not None
    assert result.report[:, [2, 3]].tolist() == [[5, 0]] * 5

    placed = torch.zeros(5, 22)
    placed[:2, :12] = result.extrinsics[1:3].flatten(1)
    placed[:2, 12:21] = result.intrinsics[1:3].flatten(1)
    placed[:2, 21] = 1.0
    frames = torch.cat([first[1:3], plain_frames((9, 50, 50), green, blue)])
    extended = run_model(module, metadata, frames, placed=placed)
    assert extended.registered.tolist() == [True, True, True, True, False]
    place = -extended.extrinsics[:4, 0, 3]
    torch.testing.assert_close(place, torch.tensor([0.2, 0.4, 0.8, 0.6]))
    assert extended.report is not None
    assert extended.report[:, [2, 3]].tolist() == [[5, 2]] * 5
    assert (extended.confidence[4] == 1).all()

    # One placed frame holds no coordinates.
    placed[1] = 0
    alone = run_model(module, metadata, frames, placed=placed)
    assert alone.registered.tolist() == [True, False, False, False, False]
    with pytest.raises(torch.jit.Error, match="a frame is black"):
        run_model(module, metadata, plain_frames((1, 50, 50), (0, 0, 0)))


class LongReport(FlatModel):
    """A number too many in each row, and an infinity."""

    @torch.jit.export
    def report(self, state: Tensor, size: Tensor) -> Tensor:
        return torch.full([state.shape[0], 9], float("inf"))


class InfiniteReport(FlatModel):
    """Numbers that are not finite."""

    @torch.jit.export
    def report(self, state: Tensor, size: Tensor) -> Tensor:
        return torch.full([state.shape[0], 8], float("inf"))


@pytest.mark.parametrize(
    ("model", "expected"),
    [(LongReport(), "report is torch.float32"), (InfiniteReport(), "report is not finite")],
)
def test_checker_reports_wrong_reports(
    tmp_path: Path, model: torch.nn.Module, expected: str
) -> None:
    metadata = dataclasses.replace(METADATA, report=True)
    save_archive(torch.jit.script(model), metadata, tmp_path / "wrong.pt")
    assert any(expected in violation for violation in check_archive(tmp_path / "wrong.pt"))


def test_model_may_raise(archives: Path) -> None:
    module, metadata = load_archive(archives / "raises_on_black.pt")
    run_model(module, metadata, noise_frames(2, 28, 28))
    with pytest.raises(torch.jit.Error, match="the first frame is black"):
        run_model(module, metadata, torch.zeros(2, 3, 28, 28, dtype=torch.uint8))


class Careless(FlatModel):
    """Depends on the batch, is random, and returns depth 0, confidence 0 and an invalid
    rotation."""

    @torch.jit.export
    def encode(self, pixels: Tensor) -> Tensor:
        return pixels.to(torch.float32) / float(pixels.shape[0])

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        return torch.full([state.shape[0], 22], 0.5)

    @torch.jit.export
    def dense(self, state: Tensor, size: Tensor, frames: Tensor) -> Tensor:
        count = int(frames[1]) - int(frames[0])
        return torch.rand([count, 2, int(size[0]), int(size[1])]).round()


def test_checker_reports_violations(tmp_path: Path) -> None:
    save_archive(torch.jit.script(Careless()), METADATA, tmp_path / "careless.pt")
    violations = "\n".join(check_archive(tmp_path / "careless.pt"))
    for expected in (
        "encode depends on how frames are grouped",
        "the same input gave another output",
        "depth is 0 somewhere",
        "confidence is 0 somewhere",
        "something else than a rotation",
        "no frame has extrinsics near the identity",
        "intrinsics are not upper triangular",
    ):
        assert expected in violations


class Posed(FlatModel):
    """Returns known cameras unchanged, and moves all of them in `align`."""

    @torch.jit.export
    def relate(self, features: Tensor, size: Tensor) -> Tensor:
        row = torch.tensor([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 9, 0, 1, 0, 9, 1, 0, 0, 1])
        return self.relate_posed(features, row.float().repeat(features.shape[0], 1), size)

    @torch.jit.export
    def relate_posed(self, features: Tensor, cameras: Tensor, size: Tensor) -> Tensor:
        known = torch.zeros_like(features[:, :1])
        known.view(known.shape[0], -1)[:, :21] = cameras
        known.view(known.shape[0], -1)[:, 21] = 1.0
        return torch.cat([features, known], 1)

    @torch.jit.export
    def cameras(self, state: Tensor, size: Tensor) -> Tensor:
        return state[:, 3].flatten(1)[:, :22]

    @torch.jit.export
    def align(self, cameras: Tensor, dense: Tensor, size: Tensor) -> Tensor:
        moved = cameras.clone()
        moved[:, 3] = torch.arange(cameras.shape[0]) * dense[:, 0].mean((1, 2))
        return moved


def test_known_poses_are_checked_and_aligned(tmp_path: Path) -> None:
    metadata = dataclasses.replace(METADATA, poses=True, align=True)
    save_archive(torch.jit.script(Posed()), metadata, tmp_path / "posed.pt")
    module, _ = load_archive(tmp_path / "posed.pt")
    result = run_model(module, metadata, noise_frames(2, 28, 28))
    assert result.extrinsics[0, 0, 3] == 0
    assert 1.5 < result.extrinsics[1, 0, 3] < 2
    violations = check_archive(tmp_path / "posed.pt")
    assert violations and all(
        violation.endswith("with known poses: no frame has extrinsics near the identity")
        for violation in violations
    )


def test_distortion_is_part_of_the_result(archives: Path) -> None:
    assert check_archive(archives / "distorted.pt") == []
    module, metadata = load_archive(archives / "distorted.pt")
    result = run_model(module, metadata, noise_frames(3, 28, 28))
    expected = torch.tensor([[0, 0], [-0.1, 0.02], [-0.2, 0.04]])
    torch.testing.assert_close(result.distortion, expected)
    module, metadata = load_archive(archives / "flat.pt")
    assert (run_model(module, metadata, noise_frames(3, 28, 28)).distortion == 0).all()


def test_checker_reports_missing_distortion(archives: Path, tmp_path: Path) -> None:
    module, metadata = load_archive(archives / "flat.pt")
    promising = dataclasses.replace(metadata, distortion=True)
    save_archive(module, promising, tmp_path / "promising.pt")
    violations = check_archive(tmp_path / "promising.pt")
    assert any("distortion is torch.float32 (2, 0)" in violation for violation in violations)


def test_hints_reach_the_model_unless_poses_are_known(archives: Path) -> None:
    violations = check_archive(archives / "hinted.pt")
    assert not any("hints" in violation for violation in violations), violations
    module, metadata = load_archive(archives / "hinted.pt")
    pixels = noise_frames(2, 28, 28)
    hints = torch.tensor([[0, 50, 0.05], [1, 0, 0]])
    result = run_model(module, metadata, pixels, hints=hints)
    assert result.intrinsics[0, 0, 0] == 50
    assert result.extrinsics[1, 1, 3] == pytest.approx(0.1)
    row = torch.tensor([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 9, 0, 1, 0, 9, 1, 0, 0, 1])
    poses = row.float().repeat(2, 1)
    posed = run_model(module, metadata, pixels, poses=poses, hints=hints)
    assert (posed.intrinsics[:, 0, 0] == 9).all()
    unaware = dataclasses.replace(metadata, hints=False)
    assert (run_model(module, unaware, pixels, hints=hints).intrinsics[:, 0, 0] == 0.8 * 28).all()


class Brittle(FlatModel):
    """Raises on a focal length that does not fit."""

    @torch.jit.export
    def relate_hinted(self, features: Tensor, hints: Tensor, size: Tensor) -> Tensor:
        if float(hints[:, 1].max()) > 10.0 * float(size.max()):
            raise RuntimeError("not a focal length")
        return features


def test_checker_tries_wrong_hints(tmp_path: Path) -> None:
    metadata = dataclasses.replace(METADATA, hints=True)
    save_archive(torch.jit.script(Brittle()), metadata, tmp_path / "brittle.pt")
    violations = check_archive(tmp_path / "brittle.pt")
    assert violations and all("not a focal length" in violation for violation in violations)


class Raising(FlatModel):
    """Raises in `relate`."""

    @torch.jit.export
    def relate(self, features: Tensor, size: Tensor) -> Tensor:
        raise RuntimeError("cannot relate")


def test_checker_reports_exceptions(tmp_path: Path) -> None:
    save_archive(torch.jit.script(Raising()), METADATA, tmp_path / "raising.pt")
    assert any("cannot relate" in violation for violation in check_archive(tmp_path / "raising.pt"))
