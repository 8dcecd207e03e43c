"""Pictures as they come from cameras and files, checked before anything is allocated, to (H, W, 3) uint8 RGB."""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image

from .errors import InputError

MIN_SIDE, MAX_SIDE = 16, 8192
MAX_PIXELS = 33_177_600  # 8K
MAX_BYTES = 64 << 20
FORMATS = ("JPEG", "PNG")
ENCODINGS = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "8UC1": 1, "8UC3": 3}
"""Raw encodings (``sensor_msgs/image_encodings``) and bytes per pixel; 8UC3 is read as BGR, as OpenCV makes it."""


def check_size(width: int, height: int) -> None:
    """Refuse pictures nobody can find a face in, and those that would fill the memory.

    Raises:
        InputError: naming the limits.
    """
    if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE) or width * height > MAX_PIXELS:
        raise InputError(f"expected a picture of {MIN_SIDE} to {MAX_SIDE} pixels a side, at most {MAX_PIXELS} in all, "
                         f"got {width} x {height}")  # fmt: skip


def raw_picture(data: bytes | memoryview, width: int, height: int, encoding: str, step: int) -> np.ndarray:
    """Rows of pixels as (H, W, 3) uint8 RGB.

    Args:
        step: bytes of one row, which may be padded.

    Raises:
        InputError: an unknown encoding, sizes out of bounds, or rows that do not fit the data.
    """
    check_size(width, height)
    channels = ENCODINGS.get(encoding)
    if channels is None:
        raise InputError(f"expected one of the encodings {', '.join(ENCODINGS)}, got {encoding[:40]!r}")
    if step < width * channels or step > 4 * MAX_SIDE * 4:
        raise InputError(f"expected rows of at least {width * channels} bytes ({width} x {encoding}), got step {step}")
    if len(data) != step * height:
        raise InputError(f"expected {height} rows of {step} bytes, got {len(data)} bytes")
    rows = np.frombuffer(data, np.uint8).reshape(height, step)[:, : width * channels].reshape(height, width, channels)
    if channels == 1:
        return np.repeat(rows, 3, axis=2)
    if encoding.startswith("bgr") or encoding == "8UC3":
        return np.ascontiguousarray(rows[:, :, 2::-1])
    return np.ascontiguousarray(rows[:, :, :3])


def decode_picture(data: bytes) -> np.ndarray:
    """A JPEG or PNG file as (H, W, 3) uint8 RGB.

    Raises:
        InputError: empty, too large, of another format, or damaged.
    """
    if not 0 < len(data) <= MAX_BYTES:
        raise InputError(f"expected a picture of 1 to {MAX_BYTES} bytes, got {len(data)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=FORMATS) as file:
                check_size(*file.size)
                return np.asarray(file.convert("RGB"))
    except InputError:
        raise
    except Exception as error:  # Pillow raises many classes for damaged files
        raise InputError(f"expected a whole {' or '.join(FORMATS)} picture: {str(error)[:120]}") from error


def check_picture(image: np.ndarray) -> np.ndarray:
    """``image`` itself if it is (H, W, 3) uint8 of a usable size.

    Raises:
        InputError: saying what came.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"expected a picture (H, W, 3) of uint8 RGB, got {image.shape} of {image.dtype}")
    check_size(image.shape[1], image.shape[0])
    return image
