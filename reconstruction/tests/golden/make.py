"""Make the golden data of the image tests: `make golden`.

OpenCV and Pillow process the images in `sources/`, which are crops of a rendered scene. The results
are written to `processed/` and `decoded/`, the sizes after preprocessing to `sizes.json`.

Preprocessing follows the input processor of Depth Anything 3: scale the longest (or shortest) side
to the processing resolution, then make both sides multiples of 14, by a resize to the nearest
multiple or a centre crop.
"""

import json
import random
import shutil
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
PATCH_SIZE = 14
METHODS = ["upper_bound_resize", "lower_bound_resize", "upper_bound_crop", "lower_bound_crop"]
# Processing resolutions that shrink, enlarge, or change only one side.
RESOLUTIONS = {"landscape": [98, 151, 182], "portrait": [70, 154], "even": [70]}
ORIENTATION_TAG = 0x0112


def scaled_size(width: int, height: int, process_res: int, method: str) -> tuple[int, int]:
    """Return the size after the first step, which keeps the aspect ratio."""
    side = max(width, height) if method.startswith("upper") else min(width, height)
    scale = process_res / side
    return max(1, round(width * scale)), max(1, round(height * scale))


def to_patches(side: int, method: str) -> int:
    """Return the length of a side after the second step."""
    down = side // PATCH_SIZE * PATCH_SIZE
    if method.endswith("crop"):
        return down
    return down if side - down < down + PATCH_SIZE - side else down + PATCH_SIZE


def resize(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize with OpenCV: area interpolation for shrinking, cubic if a side grows."""
    if pixels.shape[:2] == (height, width):
        return pixels
    grows = width > pixels.shape[1] or height > pixels.shape[0]
    interpolation = cv2.INTER_CUBIC if grows else cv2.INTER_AREA
    return cv2.resize(pixels, (width, height), interpolation=interpolation)


def preprocess(pixels: np.ndarray, process_res: int, method: str) -> np.ndarray:
    """Return the model's input for an image, uint8 [H, W, 3]."""
    height, width = pixels.shape[:2]
    scaled = resize(pixels, *scaled_size(width, height, process_res, method))
    height, width = scaled.shape[:2]
    new_width, new_height = to_patches(width, method), to_patches(height, method)
    if method.endswith("resize"):
        return resize(scaled, new_width, new_height)
    left, top = (width - new_width) // 2, (height - new_height) // 2
    return scaled[top : top + new_height, left : left + new_width]


def write_processed(folder: Path) -> None:
    """Write each source after preprocessing by each method at each of its resolutions."""
    for name, resolutions in RESOLUTIONS.items():
        pixels = np.asarray(Image.open(HERE / "sources" / f"{name}.png").convert("RGB"))
        for process_res in resolutions:
            for method in METHODS:
                result = Image.fromarray(preprocess(pixels, process_res, method))
                result.save(folder / f"{name}-{process_res}-{method}.png", optimize=True)


def write_sizes(path: Path) -> None:
    """Write rows of width, height, resolution, method and the size after preprocessing."""
    chooser = random.Random(0)
    common = [(4032, 3024), (3024, 4032), (1920, 1080), (1280, 720), (640, 480), (504, 378)]
    chosen = [(chooser.randint(300, 4000), chooser.randint(300, 4000)) for _ in range(120)]
    # Scaling by one half gives ties, which Python rounds to even.
    ties = [(1008, odd) for odd in range(601, 661, 2)]
    rows = []
    for width, height in common + chosen + ties:
        for process_res in (504, chooser.randint(100, 1200)):
            for method in METHODS:
                size = scaled_size(width, height, process_res, method)
                result = [to_patches(side, method) for side in size]
                if min(result) > 0:
                    rows.append([width, height, process_res, method, *result])
    path.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def write_decoded(folder: Path) -> None:
    """Write files of many formats and, for each, NAME.expected.png with its upright RGB pixels."""

    def expect(name: str, picture: Image.Image | None = None) -> None:
        if picture is None:
            picture = ImageOps.exif_transpose(Image.open(folder / name)).convert("RGB")
        picture.save(folder / f"{name}.expected.png", optimize=True)

    photo = Image.open(HERE / "sources" / "landscape.png").convert("RGB").crop((40, 30, 93, 67))
    alpha = Image.linear_gradient("L").resize(photo.size)
    with_alpha = photo.copy()
    with_alpha.putalpha(alpha)
    palette = photo.quantize(200)
    saved = {
        "baseline.jpg": (photo, {"quality": 92}),
        "full-chroma.jpg": (photo, {"quality": 92, "subsampling": "4:4:4"}),
        "progressive.jpg": (photo, {"quality": 92, "progressive": True}),
        "restarts.jpg": (photo, {"quality": 92, "restart_marker_rows": 1}),
        "grey.jpg": (photo.convert("L"), {"quality": 92}),
        "cmyk.jpg": (photo.convert("CMYK"), {"quality": 95, "subsampling": "4:4:4"}),
        "rgb.png": (photo, {}),
        "rgba.png": (with_alpha, {}),
        "grey.png": (photo.convert("L"), {}),
        "grey-alpha.png": (with_alpha.convert("LA"), {}),
        "one-bit.png": (photo.convert("1"), {}),
        "palette.png": (palette, {}),
        "palette-4-bit.png": (photo.quantize(16), {"bits": 4}),
        "palette-transparent.png": (palette, {"transparency": 3}),
        "lossy.webp": (photo, {"quality": 90}),
        "lossy-alpha.webp": (with_alpha, {"quality": 90}),
        "lossless.webp": (photo, {"lossless": True}),
        "lossless-alpha.webp": (with_alpha, {"lossless": True, "exact": True}),
        "animated.webp": (
            photo,
            {"save_all": True, "append_images": [ImageOps.invert(photo)], "lossless": True},
        ),
    }
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[ORIENTATION_TAG] = orientation
        saved[f"orientation-{orientation}.jpg"] = (photo, {"exif": exif.tobytes(), "quality": 92})
    exif[ORIENTATION_TAG] = 6
    saved["orientation-6.png"] = (photo, {"exif": exif.tobytes()})
    saved["orientation-6.webp"] = (photo, {"exif": exif.tobytes(), "lossless": True})
    for name, (picture, options) in saved.items():
        picture.save(folder / name, **options)
        expect(name)

    # Low bytes for which rounding differs from truncating to the high bytes.
    deep = np.asarray(photo).astype(np.uint16) << 8 | 0xF0
    cv2.imwrite(str(folder / "rgb-16-bit.png"), deep[..., ::-1])
    expect("rgb-16-bit.png", photo)
    cv2.imwrite(str(folder / "grey-16-bit.png"), deep[..., 1])
    expect("grey-16-bit.png", Image.merge("RGB", [photo.getchannel("G")] * 3))
    photo.save(folder / "photo.gif")
    photo.save(folder / "photo.bmp")


def main() -> None:
    """Regenerate all golden data."""
    for name, write in (("processed", write_processed), ("decoded", write_decoded)):
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name).mkdir()
        write(HERE / name)
    write_sizes(HERE / "sizes.json")


if __name__ == "__main__":
    main()
