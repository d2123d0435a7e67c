"""Image files to pixels: the values, and what is refused."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge.codec import decode_request
from edge.contract import Contract
from edge.errors import BadDataError, BadModelError, ConfigurationError
from edge.pictures import Decoder, Target, read_contract
from edge.records import Partition, Record
from tests.mutations import SHORT, damaged
from tests.paths import LENET, ROOT

GREY = np.arange(28 * 28, dtype=np.uint32).reshape(28, 28).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], GREY.T], axis=-1)
GREY_TARGET, COLOUR_TARGET = Target(28, 28, "L"), Target(28, 28, "RGB")


def encoded(pixels: np.ndarray[Any, Any] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(data: bytes, target: Target) -> np.ndarray[Any, Any]:
    value, content_type = Decoder(target)(data)
    assert content_type is None
    shape = (target.height, target.width) if target.mode == "L" else (target.height, target.width, 3)
    return np.frombuffer(value, np.uint8).reshape(shape)


def test_pixels_of_the_right_size_and_mode_are_kept_as_they_are() -> None:
    np.testing.assert_array_equal(decoded(encoded(GREY), GREY_TARGET), GREY)
    np.testing.assert_array_equal(decoded(encoded(COLOUR), COLOUR_TARGET), COLOUR)
    channels_first = Target(28, 28, "RGB", is_channels_first=True)
    value, _ = Decoder(channels_first)(encoded(COLOUR))
    np.testing.assert_array_equal(np.frombuffer(value, np.uint8).reshape(3, 28, 28), COLOUR.transpose(2, 0, 1))


def test_a_large_picture_is_in_memory_once() -> None:
    code = """
import io, resource
from PIL import Image
from edge.pictures import Decoder, Target
file = io.BytesIO()
Image.new("RGB", (16, 16)).save(file, "PNG")
decode = Decoder(Target(28, 28, "RGB"))
decode(file.getvalue())
file = io.BytesIO()
with Image.new("RGB", (5000, 5000)) as large:
    large.save(file, "PNG")
before, made = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file.getvalue()
del large, file
for _ in range(2):
    decode(made)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    # Making it has taken as much as decoding it may: 4 bytes a pixel, and a copy would be 100 MB more.
    assert int(done.stdout) < 50_000


def test_colour_becomes_grey_and_grey_colour() -> None:
    red_green_blue = np.zeros((28, 28, 3), np.uint8)
    for channel in range(3):
        red_green_blue[:, channel, channel] = 255
    grey = decoded(encoded(red_green_blue), GREY_TARGET)
    # ITU-R 601-2: 0.299, 0.587 and 0.114 of 255.
    assert grey[0, :4].tolist() == [76, 150, 29, 0]
    np.testing.assert_array_equal(decoded(encoded(GREY), COLOUR_TARGET), np.stack([GREY] * 3, axis=-1))


def test_a_larger_image_is_reduced_by_averaging_and_a_smaller_one_enlarged() -> None:
    halves = np.zeros((56, 112), np.uint8)
    halves[:, 56:] = 200
    small = decoded(encoded(halves), GREY_TARGET)
    assert (small[:, :12] == 0).all()
    assert (small[:, 16:] == 200).all()
    checks = np.indices((56, 56)).sum(axis=0) % 2 * 200
    inner = decoded(encoded(checks.astype(np.uint8)), GREY_TARGET)[2:-2, 2:-2]
    assert abs(int(inner.max()) - 100) <= 1
    assert abs(int(inner.min()) - 100) <= 1
    assert (decoded(encoded(np.full((3, 5), 77, np.uint8)), GREY_TARGET) == 77).all()


PLAIN = Image.new("RGB", (28, 28), (200, 200, 200))
KINDS = {
    "black and white": (encoded(Image.new("1", (28, 28), 1)), 255),
    "a palette": (encoded(PLAIN.quantize(4)), 200),
    "grey with alpha": (encoded(PLAIN.convert("LA")), 200),
    "colour with alpha": (encoded(PLAIN.convert("RGBA")), 200),
    "grey of 16 bits": (encoded(np.full((28, 28), 0xC8FF, np.uint16)), 0xC8),
    "inks": (encoded(PLAIN.convert("CMYK"), "JPEG", quality=100), 200),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_pixels_are_understood(kind: str) -> None:
    data, expected = KINDS[kind]
    for target in (GREY_TARGET, COLOUR_TARGET):
        assert np.abs(decoded(data, target).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("orientation", "turned"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_the_camera_was_held_sideways(orientation: int, turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.zeros((28, 28), np.uint8)
    upright[:8, :14] = 255
    stored = np.rot90(upright, -turned)
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 100})):
        pixels = decoded(encoded(np.ascontiguousarray(stored), kind, exif=exif, **options), GREY_TARGET)
        assert np.abs(pixels.astype(int) - upright).max() <= 8


def test_a_large_jpeg_is_close_to_what_it_shows() -> None:
    ramp = np.tile(np.linspace(0, 255, 1600), (1200, 1)).astype(np.uint8)
    found = decoded(encoded(np.stack([ramp] * 3, axis=-1), "JPEG", quality=95), GREY_TARGET)
    expected = np.linspace(0, 255, 29)[:-1] + 255 / 56
    assert np.abs(found - expected).max() < 4


def test_without_a_target_an_image_keeps_its_size_and_the_classifier_checks_that(contract: Contract) -> None:
    value, content_type = Decoder()(encoded(GREY))
    record = Record(Partition("t", 0), 0, 0, None, value, (("content-type", (content_type or "").encode()),))
    assert decode_request(record, contract).pixels == GREY.tobytes()
    value, content_type = Decoder()(encoded(COLOUR[:5]))
    array = np.load(io.BytesIO(value))
    assert (content_type, array.shape, array.dtype) == ("application/x-npy", (5, 28, 3), np.uint8)
    np.testing.assert_array_equal(array, COLOUR[:5])


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header claims so many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


BAD = {
    "text": (b"no image", "no PNG or JPEG"),
    "empty": (b"", "no PNG or JPEG"),
    "gif": (encoded(GREY, "GIF"), "no PNG or JPEG"),
    "cut png": (encoded(np.random.default_rng(1).integers(0, 255, (50, 50), np.uint8))[:-1000], "no PNG or JPEG"),
    "cut jpeg": (encoded(COLOUR, "JPEG")[:700], "no PNG or JPEG"),
    "large": (bomb(8000, 8000), "8,000 by 8,000 pixels; at most 50,000,000"),
    "bomb": (bomb(100_000, 100_000), "could be decompression bomb"),
    "claims more": (bomb(500, 500), "no PNG or JPEG"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_refused(name: str) -> None:
    data, reason = BAD[name]
    for decoder in (Decoder(), Decoder(GREY_TARGET)):
        with pytest.raises(BadDataError, match=reason):
            decoder(data)


@SHORT
@given(st.one_of(damaged(encoded(COLOUR)), damaged(encoded(COLOUR, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"))))
def test_whatever_happened_to_a_file_it_is_read_or_refused(data: bytes) -> None:
    for decoder in (Decoder(), Decoder(GREY_TARGET)):
        try:
            value, _ = decoder(data)
        except BadDataError:
            continue
        assert value


SHAPES = [
    ((28, 28), "", Target(28, 28, "L")),
    ((28, 32, 1), "HWC", Target(28, 32, "L")),
    ((28, 32, 3), "", Target(28, 32, "RGB")),
    ((3, 28, 32), "CHW", Target(28, 32, "RGB", is_channels_first=True)),
    ((1, 28, 32), "CHW", Target(28, 32, "L", is_channels_first=True)),
]


def contract_of(shape: tuple[int, ...], layout: str, dtype: str = "uint8") -> Contract:
    return Contract("net", "image", dtype, shape, layout, "probabilities", ("a", "b"))


@pytest.mark.parametrize(("shape", "layout", "target"), SHAPES)
def test_the_contract_says_what_pixels_should_be(shape: tuple[int, ...], layout: str, target: Target) -> None:
    found = Target.of(contract_of(shape, layout))
    assert found == target
    value, _ = Decoder(found)(encoded(COLOUR))
    assert len(value) == np.prod(shape)


@pytest.mark.parametrize(
    ("shape", "layout", "dtype"),
    [((784,), "", "uint8"), ((28, 28, 2), "HWC", "uint8"), ((3, 28, 28), "", "uint8"), ((28, 28, 1), "HWC", "float32")],
)
def test_a_contract_that_asks_for_no_picture_is_refused(shape: tuple[int, ...], layout: str, dtype: str) -> None:
    with pytest.raises(ConfigurationError, match=r"grey or RGB; 'net' takes"):
        Target.of(contract_of(shape, layout, dtype))


def test_a_contract_is_read_from_a_model_or_from_json(tmp_path: Path, contract: Contract) -> None:
    assert read_contract(LENET).shape == (28, 28, 1)
    path = tmp_path / "contract.json"
    path.write_text(contract.to_json())
    assert read_contract(path) == contract
    path.write_text("{")
    with pytest.raises(BadModelError, match=r"contract\.json: the model's contract cannot be read"):
        read_contract(path)
    path.write_bytes(b"\x08\x07")
    with pytest.raises(BadModelError, match=r"contract\.json: "):
        read_contract(path)
    with pytest.raises(BadModelError, match=r"none\.json cannot be read \(No such file"):
        read_contract(tmp_path / "none.json")


WITHOUT = """
import sys
sys.modules["PIL"] = None
from edge.query import main
main(["--images", sys.argv[1]], prog_name="query")
"""


def test_a_package_that_is_not_installed_is_named_in_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, str(tmp_path)]
    run = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 78
    last = run.stderr.splitlines()[-1]
    assert last == "Error: image files need a package that is not installed here: pip install pillow"
