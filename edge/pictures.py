"""Image files to pixels: PNG and JPEG, resized and converted to what a model's contract asks for; needs Pillow."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge import onnxfile
from edge.contract import Contract
from edge.errors import BadDataError, BadModelError, ConfigurationError
from edge.pixels import NPY

if TYPE_CHECKING:
    import PIL.Image

FORMATS = ("PNG", "JPEG")
SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 50_000_000
"""Of one file, as its header says: more is refused before anything is decoded."""

_BROKEN = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    struct.error,
    zlib.error,
)
"""What Pillow raises for a damaged file."""


@dataclass(frozen=True)
class Target:
    """What pixels should be: `mode` is Pillow's, L for grey or RGB."""

    height: int
    width: int
    mode: str
    is_channels_first: bool = False

    @classmethod
    def of(cls, contract: Contract) -> "Target":
        """What a model takes.

        Raises: ConfigurationError when that is no image of bytes, grey or RGB.
        """
        shape = contract.shape if len(contract.shape) == 3 else (*contract.shape, 1)
        is_first = contract.layout == "CHW" and len(contract.shape) == 3
        *size, channels = (*shape[1:], shape[0]) if is_first else shape
        if contract.dtype != "uint8" or len(size) != 2 or channels not in (1, 3):
            raise ConfigurationError(
                f"image files become uint8 pixels, grey or RGB; {contract.name!r} takes {contract.dtype} of "
                f"{contract.shape}, so give it its images as .npz"
            )
        return cls(size[0], size[1], "L" if channels == 1 else "RGB", is_first)


class Decoder:
    """Turns the bytes of image files into the bytes of requests."""

    def __init__(self, target: Target | None = None) -> None:
        """Without a target, pixels keep their size, and are grey where the file is.

        Raises: ConfigurationError when Pillow is not installed.
        """
        try:
            import PIL  # noqa: F401, PLC0415 - only who has image files needs it
        except ModuleNotFoundError:
            raise ConfigurationError(
                "image files need a package that is not installed here: pip install pillow"
            ) from None
        self._target = target

    def __call__(self, data: bytes) -> tuple[bytes, str | None]:
        """The value of a request, and its content type: exactly the target's bytes, or an array that has its shape.

        Raises: BadDataError for what is no PNG or JPEG, damaged, or has more than MAX_PIXELS.
        """
        from PIL import Image  # noqa: PLC0415

        try:
            with warnings.catch_warnings():
                # Of damaged metadata, or of more pixels than Pillow likes: what counts is checked here.
                warnings.simplefilter("ignore")
                with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                    pixels = self._pixels(image)
        except Image.DecompressionBombError as error:
            raise BadDataError(str(error)) from None
        except _BROKEN as error:
            raise BadDataError(f"it is no PNG or JPEG that can be read ({error or type(error).__name__})") from None
        if self._target is not None:
            return pixels.tobytes(), None
        file = io.BytesIO()
        np.save(file, pixels)
        return file.getvalue(), NPY

    def _pixels(self, image: "PIL.Image.Image") -> "np.ndarray[Any, np.dtype[np.uint8]]":
        """As uint8 [height, width], or with a third axis, upright."""
        from PIL import Image, ImageOps  # noqa: PLC0415

        if image.width * image.height > MAX_PIXELS:
            raise BadDataError(
                f"it has {image.width:,} by {image.height:,} pixels; at most {MAX_PIXELS:,} are accepted"
            )
        target = self._target
        mode = _own_mode(image) if target is None else target.mode
        if target is not None:
            # A JPEG can be decoded at a fraction of its size, which takes as little of time and memory.
            longest = 2 * max(target.width, target.height)
            image.draft(mode, (longest, longest))
        # Pillow takes up to four bytes a pixel, and again as many for each copy.
        ImageOps.exif_transpose(image, in_place=True)
        upright = _eight_bits(image)
        if upright.mode != mode:
            upright = upright.convert(mode)
        if target is None:
            return np.asarray(upright)
        size = (target.width, target.height)
        if upright.size != size:
            upright = upright.resize(size, Image.Resampling.BILINEAR)
        pixels = np.asarray(upright)
        return pixels.transpose(2, 0, 1) if target.is_channels_first and pixels.ndim == 3 else pixels


def read_contract(path: Path) -> Contract:
    """The contract in a `.onnx` file or in a JSON file of its own; the model is not loaded.

    Raises: BadModelError when there is none.
    """
    try:
        with path.open("rb") as file:
            # One byte more than is accepted, so that a huge file is refused without being read.
            data = file.read(onnxfile.MAX_MODEL_BYTES + 1)
    except OSError as error:
        raise BadModelError(f"the contract {path} cannot be read ({error.strerror or error})") from None
    try:
        if data.lstrip()[:1] == b"{":
            return Contract.from_json(data)
        return onnxfile.check(data).contract
    except BadModelError as error:
        raise BadModelError(f"{path}: {error.message}") from None


def _own_mode(image: "PIL.Image.Image") -> str:
    return "L" if image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16") else "RGB"


def _eight_bits(image: "PIL.Image.Image") -> "PIL.Image.Image":
    """Grey of 16 bits, as PNG has it, in 8: converting alone would clip."""
    from PIL import Image  # noqa: PLC0415

    if image.mode == "I" or image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    return image
