"""Pictures from cameras and files."""

import io

import numpy as np
import pytest
from PIL import Image

from media2face.runtime.errors import InputError
from media2face.runtime.pictures import check_picture, decode_picture, raw_picture

RED = np.zeros((20, 30, 3), np.uint8)
RED[..., 0] = 200
RED[3, 4] = [1, 2, 3]


def packed(kind: str, picture: np.ndarray = RED, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def test_encodings_give_the_same_picture():
    assert np.array_equal(raw_picture(RED.tobytes(), 30, 20, "rgb8", 90), RED)
    assert np.array_equal(raw_picture(RED[..., ::-1].tobytes(), 30, 20, "bgr8", 90), RED)
    alpha = np.concatenate([RED, np.full((20, 30, 1), 255, np.uint8)], 2)
    assert np.array_equal(raw_picture(alpha.tobytes(), 30, 20, "rgba8", 120), RED)
    assert np.array_equal(raw_picture(alpha[..., [2, 1, 0, 3]].tobytes(), 30, 20, "bgra8", 120), RED)
    grey = RED[..., 0]
    assert np.array_equal(raw_picture(grey.tobytes(), 30, 20, "mono8", 30), np.repeat(grey[..., None], 3, 2))


def test_rows_may_be_padded():
    padded = np.zeros((20, 100), np.uint8)
    padded[:, :90] = RED.reshape(20, 90)
    assert np.array_equal(raw_picture(padded.tobytes(), 30, 20, "rgb8", 100), RED)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"encoding": "yuv422"}, "encodings"),
        ({"encoding": ""}, "encodings"),
        ({"step": 80}, "at least 90 bytes"),
        ({"step": 91}, "20 rows of 91 bytes"),
        ({"data": b""}, "got 0 bytes"),
        ({"width": 0}, "pixels a side"),
        ({"width": 2**31, "height": 2**31}, "pixels a side"),
        ({"width": 8000, "height": 8000}, "pixels a side"),
        ({"height": 4}, "pixels a side"),
    ],
)
def test_what_does_not_fit_is_refused(fields, words):
    good = {"data": RED.tobytes(), "width": 30, "height": 20, "encoding": "rgb8", "step": 90}
    with pytest.raises(InputError, match=words):
        raw_picture(**good | fields)


def test_jpeg_and_png_are_read():
    assert np.array_equal(decode_picture(packed("PNG")), RED)
    assert np.abs(decode_picture(packed("JPEG", quality=95))[10, 20].astype(int) - RED[10, 20]).max() < 12


@pytest.mark.parametrize("data", [b"", b"nonsense", packed("PNG")[:60], packed("GIF"), packed("BMP")])
def test_damaged_and_foreign_files_are_refused(data):
    with pytest.raises(InputError):
        decode_picture(data)


def test_a_small_file_of_a_huge_picture_is_refused_before_it_is_unpacked():
    bomb = packed("PNG", np.zeros((9000, 9000), np.uint8))
    assert len(bomb) < 200_000
    with pytest.raises(InputError):
        decode_picture(bomb)


def test_arrays_are_checked():
    assert check_picture(RED) is RED
    for bad in (RED[..., 0], RED.astype(np.float32), RED[:5], RED[..., :2]):
        with pytest.raises(InputError):
            check_picture(bad)
