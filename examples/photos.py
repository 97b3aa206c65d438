"""Photos to upload: image files, or frames of a video.

Frames are read by ffmpeg or, where that is not installed, by OpenCV (`opencv-python-headless`).
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

JPEG_QUALITY = 92


class PhotoError(Exception):
    """The photos cannot be read; the message is for the user."""


@dataclass
class Photo:
    """An encoded image and its name."""

    name: str
    data: bytes


def read_photos(paths: list[Path]) -> Iterator[Photo]:
    """Read image files without decoding them."""
    for path in paths:
        try:
            yield Photo(path.name, path.read_bytes())
        except OSError as error:
            raise PhotoError(f"cannot read {path}: {error.strerror}") from None


def read_video(path: Path, count: int) -> Iterator[Photo]:
    """Read `count` evenly spaced frames of a video as JPEG."""
    if not path.is_file():
        raise PhotoError(f"there is no video {path}")
    if shutil.which("ffmpeg") and shutil.which("ffprobe"):
        return frames_by_ffmpeg(path, count)
    try:
        import cv2  # noqa: F401
    except ImportError:
        raise PhotoError(
            "reading a video needs ffmpeg, or OpenCV (pip install opencv-python-headless)"
        ) from None
    return frames_by_opencv(path, count)


def frames_by_ffmpeg(path: Path, count: int) -> Iterator[Photo]:
    """Decode the frames with ffmpeg."""
    probe = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"]
    try:
        output = subprocess.run([*probe, str(path)], check=True, capture_output=True, text=True)
        rate = count / float(output.stdout)
        with tempfile.TemporaryDirectory() as folder:
            pattern = f"{folder}/frame_%05d.jpg"
            options = ["-vf", f"fps={rate}", "-frames:v", str(count), "-q:v", "2", pattern]
            command = ["ffmpeg", "-v", "error", "-i", str(path), *options]
            subprocess.run(command, check=True, capture_output=True, text=True)
            yield from read_photos(sorted(Path(folder).iterdir()))
    except subprocess.CalledProcessError as error:
        raise PhotoError(f"ffmpeg cannot read {path}: {error.stderr.strip()}") from None
    except (ValueError, ZeroDivisionError):
        raise PhotoError(f"ffmpeg cannot determine the duration of {path}") from None


def frames_by_opencv(path: Path, count: int) -> Iterator[Photo]:
    """Decode the frames with OpenCV."""
    import cv2

    video = cv2.VideoCapture(str(path))
    total = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    if not video.isOpened() or total < 1:
        raise PhotoError(f"OpenCV cannot read {path}")
    wanted = {index * total // count for index in range(count)}
    # Decode all frames in order: seeking is inexact in many formats.
    for index in range(max(wanted) + 1):
        if not video.grab():
            return
        if index in wanted:
            decoded, frame = video.retrieve()
            quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
            encoded, data = cv2.imencode(".jpg", frame, quality) if decoded else (False, None)
            if encoded:
                yield Photo(f"frame_{index:05d}.jpg", data.tobytes())
