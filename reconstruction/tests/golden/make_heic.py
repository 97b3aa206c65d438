"""Make the HEIC files of the image tests: `python make_heic.py`.

It needs pillow-heif 1.8, which is not in `requirements/`. The files show a crop of
`sources/landscape.png`. They are written to `heic/`: NAME.heic, and NAME.heic.expected.png with
the pixels that the picture had before it was coded, upright and in sRGB. Large pictures in small
files, to measure the memory for decoding them, are written to `heic-large/`.
"""

import io
import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
from make import P3, colour_profile, seen
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

HERE = Path(__file__).parent
# The quality of the coder. All files have to be small.
QUALITY = 90


def write(path: Path, picture: Image.Image, **options: object) -> None:
    """Write a picture without its alternatives, at the usual quality."""
    pillow_heif.from_pillow(picture).save(path, **{"quality": QUALITY, **options})


def exif(orientation: int = 1) -> bytes:
    """Return the EXIF data of a phone: an orientation, its name and its focal length."""
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x010F], tags[0x0110] = "Maker", "M1"
    camera = tags.get_ifd(0x8769)
    camera[0x920A], camera[0xA405] = IFDRational(42, 10), 26
    return tags.tobytes()


def children(box: bytes) -> list[bytes]:
    """Split the content of a box into the boxes in it."""
    found = []
    while box:
        length = int.from_bytes(box[:4], "big")
        found.append(box[:length])
        box = box[length:]
    return found


def box(name: bytes, content: bytes) -> bytes:
    """Return a box."""
    return struct.pack(">I", len(content) + 8) + name + content


def full(name: bytes, version: int, content: bytes, flags: int = 0) -> bytes:
    """Return a box with a version and flags."""
    return box(name, bytes([version]) + flags.to_bytes(3, "big") + content)


def part(content: bytes, *names: bytes) -> bytes:
    """Return the content of the box that is reached by these names."""
    for name in names:
        found = next(it for it in children(content) if it[4:8] == name)
        content = found[12 if name == b"meta" else 8 :]
    return content


def coded(file: bytes) -> tuple[bytes, bytes]:
    """Return how the only picture of a file is coded (the content of `hvcC`), and its data."""
    places = part(file, b"meta", b"iloc")
    base, _, offset, length = struct.unpack(">IHII", places[-14:])
    start = base + offset
    return part(file, b"meta", b"iprp", b"ipco", b"hvcC"), file[start : start + length]


def tiles_of(
    pictures: list[Image.Image], columns: int, size: tuple[int, int], kept: list[bytes]
) -> bytes:
    """Return a file with a grid of pictures, as phones write it, and further properties of it."""
    parts = []
    for picture in pictures:
        memory = io.BytesIO()
        write(memory, picture)
        parts.append(coded(memory.getvalue()))
    count = len(parts)
    # Item 1 is the grid, the tiles are the following ones.
    grid = bytes([0, 0, count // columns - 1, columns - 1]) + struct.pack(">HH", *size)
    infos = [full(b"infe", 2, struct.pack(">HH", 1, 0) + b"grid\0")]
    infos += [
        full(b"infe", 2, struct.pack(">HH", item, 0) + b"hvc1\0", flags=1)
        for item in range(2, count + 2)
    ]
    tile = pictures[0].size
    properties = [full(b"ispe", 0, struct.pack(">II", *size)), *kept]
    of_tiles = len(properties) + 1
    properties += [box(b"hvcC", parts[0][0]), full(b"ispe", 0, struct.pack(">II", *tile))]
    owned = struct.pack(">IHB", count + 1, 1, of_tiles - 1) + bytes(range(1, of_tiles))
    for item in range(2, count + 2):
        owned += struct.pack(">HB", item, 2) + bytes([of_tiles | 0x80, of_tiles + 1])

    def meta(start: int) -> bytes:
        """Return the header for data that begin there."""
        places = bytes([0x44, 0]) + struct.pack(">H", count + 1)
        places += struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(grid))
        for item, (_, data) in enumerate(parts, 2):
            places += struct.pack(">HHHHII", item, 0, 0, 1, start, len(data))
            start += len(data)
        references = struct.pack(f">HH{count}H", 1, count, *range(2, count + 2))
        content = full(b"hdlr", 0, bytes(4) + b"pict" + bytes(13)) + full(b"pitm", 0, bytes([0, 1]))
        content += full(b"iloc", 1, places)
        content += full(b"iinf", 0, struct.pack(">H", count + 1) + b"".join(infos))
        content += full(b"iref", 0, box(b"dimg", references))
        content += box(b"iprp", box(b"ipco", b"".join(properties)) + full(b"ipma", 0, owned))
        return full(b"meta", 0, content + box(b"idat", grid))

    brands = box(b"ftyp", b"heic\0\0\0\0mif1heicmiaf")
    header = meta(0)
    header = meta(len(brands) + len(header) + 8)
    return brands + header + box(b"mdat", b"".join(data for _, data in parts))


def grid(picture: Image.Image, side: int, kept: list[bytes]) -> bytes:
    """Return a file with square tiles of a picture; the last ones stick out."""
    width, height = picture.size
    pixels = np.asarray(picture)
    right, below = -width % side, -height % side
    padded = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
    tiles = [
        Image.fromarray(padded[top : top + side, left : left + side])
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]
    return tiles_of(tiles, padded.shape[1] // side, picture.size, kept)


def write_all(folder: Path) -> None:
    """Write all files."""

    def expect(name: str, picture: Image.Image) -> None:
        seen(picture).save(folder / f"{name}.heic.expected.png", optimize=True)

    source = Image.open(HERE / "sources" / "landscape.png").convert("RGB")
    photo = source.crop((40, 30, 93, 67))
    with_alpha = photo.copy()
    with_alpha.putalpha(Image.linear_gradient("L").resize(photo.size))
    write(folder / "plain.heic", photo)
    expect("plain", photo)
    # The decoder makes noise of these.
    write(folder / "full-chroma.heic", photo, chroma=444)
    write(folder / "half-chroma.heic", photo, chroma=422)
    write(folder / "grey.heic", photo.convert("L"))
    expect("grey", photo.convert("L"))
    write(folder / "alpha.heic", with_alpha)
    expect("alpha", with_alpha)
    # Neither the container nor the coded picture says which colours they are.
    write(folder / "unnamed-colours.heic", photo, save_nclx_profile=False)
    expect("unnamed-colours", photo)

    deep = np.asarray(photo).astype(np.uint16) << 8
    ten = pillow_heif.from_bytes("RGB;16", photo.size, deep.tobytes())
    ten.save(folder / "ten-bits.heic", quality=QUALITY)
    expect("ten-bits", photo)

    # The camera's orientation is in EXIF and in the container; it must be applied once.
    for orientation, turn in ((6, Image.Transpose.ROTATE_270), (5, Image.Transpose.TRANSPOSE)):
        name = f"orientation-{orientation}"
        write(folder / f"{name}.heic", photo, exif=exif(orientation))
        expect(name, photo.transpose(turn))

    profile = colour_profile(P3, 2.2)
    write(folder / "profile-p3.heic", photo, icc_profile=profile)
    read = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    srgb = ImageCms.createProfile("sRGB")
    expect("profile-p3", ImageCms.profileToProfile(photo, read, srgb, outputMode="RGB"))
    # The same colours, described by numbers: the primaries of P3 and the curve of sRGB.
    write(folder / "numbers-p3.heic", photo, color_primaries=12, transfer_characteristics=13)
    linear = np.asarray(photo) / 255.0
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    to_srgb = [[1.2249, -0.2249, 0], [-0.0421, 1.0421, 0], [-0.0196, -0.0786, 1.0983]]
    linear = np.clip(linear @ np.array(to_srgb).T, 0, 1)
    converted = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    expect("numbers-p3", Image.fromarray(np.round(converted * 255).astype(np.uint8)))

    whole = source.crop((0, 0, 150, 101))
    (folder / "grid.heic").write_bytes(grid(whole, 64, []))
    expect("grid", whole)
    (folder / "grid-turned.heic").write_bytes(
        grid(whole, 64, [box(b"irot", b"\x03"), box(b"imir", b"\0")])
    )
    turned = whole.transpose(Image.Transpose.ROTATE_270)
    expect("grid-turned", turned.transpose(Image.Transpose.FLIP_TOP_BOTTOM))


def write_large(folder: Path) -> None:
    """Write large pictures in small files, to measure the memory for decoding them."""
    pixels = np.zeros((1200, 1600, 3), np.uint8)
    pixels[600:] = 200
    picture = Image.fromarray(cv2.GaussianBlur(pixels, (0, 0), 40))
    with_alpha = picture.copy()
    with_alpha.putalpha(picture.convert("L"))
    write(folder / "plain.heic", picture, quality=30)
    write(folder / "turned.heic", picture, quality=30, exif=exif(6))
    write(folder / "alpha.heic", with_alpha, quality=30)
    write(folder / "grey.heic", picture.convert("L"), quality=30)
    write(folder / "profile.heic", picture, quality=30, icc_profile=colour_profile(P3, 2.2))
    (folder / "grid.heic").write_bytes(grid(picture, 512, [box(b"irot", b"\x03")]))


def main() -> None:
    """Write the files again."""
    for name, write_folder in (("heic", write_all), ("heic-large", write_large)):
        shutil.rmtree(HERE / name, ignore_errors=True)
        (HERE / name).mkdir()
        write_folder(HERE / name)


if __name__ == "__main__":
    main()
