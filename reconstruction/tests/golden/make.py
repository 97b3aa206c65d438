"""Make the golden data of the image tests: `make golden`.

OpenCV and Pillow process the images in `sources/`, which are crops of a rendered scene. The results
are written to `processed/` and `decoded/`, the sizes after preprocessing to `sizes.json`.

Preprocessing follows the input processor of Depth Anything 3: scale the longest (or shortest) side
to the processing resolution, then make both sides multiples of 14, by a resize to the nearest
multiple or a centre crop.
"""

import io
import json
import random
import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps

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


def seen(picture: Image.Image) -> Image.Image:
    """Return the RGB pixels; those that are less than half opaque are grey."""
    hidden = picture.convert("RGBA").getchannel("A").point(lambda alpha: 255 * (alpha < 128))
    rgb = picture.convert("RGB")
    rgb.paste((128, 128, 128), mask=hidden)
    return rgb


def write_decoded(folder: Path) -> None:
    """Write files of many formats and, for each, NAME.expected.png with its upright RGB pixels."""

    def expect(name: str, picture: Image.Image | None = None) -> None:
        if picture is None:
            picture = seen(ImageOps.exif_transpose(Image.open(folder / name)))
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
    write_profiles(folder, photo)
    write_unusual(folder, photo)
    photo.save(folder / "photo.gif")
    photo.save(folder / "photo.bmp")


def colour_profile(primaries: list[list[float]], gamma: float) -> bytes:
    """Return an ICC profile (version 2) of RGB with these primaries (D50) and this tone curve.

    ICC.1:2001-04: a header of 128 bytes, a table of tags, and the tags.
    """

    def fixed(values: list[float]) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    white = [0.9642, 1.0, 0.8249]
    text = b"test"
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    description = b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(79)
    tags = {b"desc": description, b"wtpt": b"XYZ " + bytes(4) + fixed(white)}
    for letter, primary in zip(b"rgb", primaries, strict=True):
        tags[bytes([letter]) + b"XYZ"] = b"XYZ " + bytes(4) + fixed(primary)
        tags[bytes([letter]) + b"TRC"] = curve
    offset = 128 + 4 + 12 * len(tags)
    table, content = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", offset + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    size = struct.pack(">I", offset + len(content))
    kind = b"mntrRGB XYZ "
    header = size + bytes(4) + struct.pack(">I", 0x02400000) + kind + bytes(12) + b"acsp"
    return header.ljust(68, b"\0") + fixed(white) + bytes(128 - 80) + table + content


# Columns of the matrices from linear RGB to XYZ, adapted to D50 (Display P3 and Adobe RGB).
P3 = [[0.51512, 0.24120, -0.00105], [0.29198, 0.69225, 0.04189], [0.15710, 0.06657, 0.78407]]
ADOBE = [[0.60974, 0.31111, 0.01947], [0.20528, 0.62567, 0.06087], [0.14919, 0.06322, 0.74457]]


def write_profiles(folder: Path, photo: Image.Image) -> None:
    """Write files with colour profiles, and what LittleCMS makes of them."""
    srgb = ImageCms.createProfile("sRGB")
    kinds = {"p3": colour_profile(P3, 2.2), "adobe": colour_profile(ADOBE, 563 / 256)}
    for kind, profile in kinds.items():
        read = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        photo.save(folder / f"profile-{kind}.png", icc_profile=profile)
        photo.save(folder / f"profile-{kind}.webp", icc_profile=profile, lossless=True)
        photo.save(folder / f"profile-{kind}.jpg", icc_profile=profile, quality=97, subsampling=0)
        for suffix in ("png", "webp", "jpg"):
            saved = Image.open(folder / f"profile-{kind}.{suffix}").convert("RGB")
            expected = ImageCms.profileToProfile(saved, read, srgb, outputMode="RGB")
            expected.save(folder / f"profile-{kind}.{suffix}.expected.png", optimize=True)
    # One of the many that say sRGB changes nothing.
    same = ImageCms.ImageCmsProfile(srgb).tobytes()
    same = same[:24] + bytes(12) + same[36:]  # Without the time of its creation.
    photo.save(folder / "profile-srgb.png", icc_profile=same)
    photo.save(folder / "profile-srgb.png.expected.png", optimize=True)


def without_segments(jpeg: bytes, marker: int) -> bytes:
    """Return a JPEG file without its segments of a kind."""
    kept, position = jpeg[:2], 2
    while jpeg[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        if jpeg[position + 1] != marker:
            kept += jpeg[position:end]
        position = end
    return kept + jpeg[position:]


def write_unusual(folder: Path, photo: Image.Image) -> None:
    """Write files that lack a part that decoders can do without, or have it at an unusual place."""
    whole = (folder / "baseline.jpg").read_bytes()
    expected = (folder / "baseline.jpg.expected.png").read_bytes()
    unusual = {
        "no-end.jpg": whole[:-2],
        "half-an-end.jpg": whole[:-1],
        "other-data-behind.jpg": whole[:-2] + b"trailer" * 20,
        # As frames of Motion JPEG: the encoder has used the standard tables.
        "no-tables.jpg": without_segments(whole, 0xC4),
    }
    for name, content in unusual.items():
        (folder / name).write_bytes(content)
        (folder / f"{name}.expected.png").write_bytes(expected)
    # The chunk with the orientation comes behind the pixels, as ImageMagick writes it.
    name = "orientation-6-behind.png"
    png = (folder / "orientation-6.png").read_bytes()
    begin = png.index(b"eXIf") - 4
    end = begin + 12 + int.from_bytes(png[begin : begin + 4], "big")
    last = len(png) - 12
    (folder / name).write_bytes(png[:begin] + png[end:last] + png[begin:end] + png[last:])
    shutil.copy(folder / "orientation-6.png.expected.png", folder / f"{name}.expected.png")


def write_large(folder: Path) -> None:
    """Write large pictures in small files, to measure the memory for decoding them."""
    grey = Image.new("L", (1600, 1200))
    grey.paste(200, (0, 600, 1600, 1200))
    picture = Image.merge("RGB", [grey, grey, grey])
    with_alpha = picture.copy()
    with_alpha.putalpha(grey)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    full = {"quality": 50, "subsampling": "4:4:4"}
    animation = {"save_all": True, "append_images": [ImageOps.invert(picture)], "lossless": True}
    for name, saved, options in (
        ("baseline.jpg", picture, {"quality": 50}),
        ("turned.jpg", picture, {"quality": 50, "exif": exif.tobytes()}),
        ("progressive.jpg", picture, {**full, "progressive": True}),
        ("progressive-cmyk.jpg", picture.convert("CMYK"), {**full, "progressive": True}),
        ("grey.jpg", grey, {"quality": 50}),
        ("palette.png", picture.quantize(4), {"transparency": 0, "bits": 8}),
        ("one-bit.png", grey.convert("1"), {}),
        ("lossy.webp", picture, {"quality": 20}),
        ("lossy-alpha.webp", with_alpha, {"quality": 20}),
        ("lossless.webp", picture, {"lossless": True}),
        ("lossless-alpha.webp", with_alpha, {"lossless": True, "exact": True}),
        ("animated.webp", picture, animation),
    ):
        saved.save(folder / name, **options)
    deep = np.zeros((1200, 1600, 4), np.uint16)
    deep[600:] = 51200
    cv2.imwrite(str(folder / "rgba-16-bit.png"), deep)


def main() -> None:
    """Regenerate all golden data."""
    writers = (("processed", write_processed), ("decoded", write_decoded), ("large", write_large))
    for name, write in writers:
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name).mkdir()
        write(HERE / name)
    write_sizes(HERE / "sizes.json")


if __name__ == "__main__":
    main()
