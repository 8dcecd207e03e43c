"""Prompts good and bad through the shipped style encoder."""

import io
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from media2face.runtime.errors import ModelError, StyleError
from media2face.runtime.sessions import weights_folder
from media2face.runtime.style import MAX_CHARACTERS, MAX_PIXELS, StyleEncoder

pytestmark = pytest.mark.skipif(
    not (weights_folder() / "style_text.onnx").is_file(), reason="models/weights has no style_text.onnx: train it first"
)


@pytest.fixture(scope="module")
def encoder() -> StyleEncoder:
    return StyleEncoder(providers="cpu")


def _png(width: int, height: int, mode: str = "RGB", colour=0) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("prompt", "style"),
    [
        ("a cheerful host", "happy"), ("speaking with deep sorrow", "sad"), ("furious", "angry"),
        ("an annoyed customer", "angry"), ("a sleepy robot at the airport", "tired"), ("Ängstlich", "afraid"),
        ("the teacher looks rather confused", "confused"), ("😡", "angry"), ("neutral", "neutral"),
        ("VERY EXCITED!!!", "excited"), ("bored to tears", "bored"), ("a mischievous child", "playful"),
    ],
)  # fmt: skip
def test_prompts_land_on_their_style(encoder, prompt, style):
    found = encoder.encode_text(prompt)
    assert (found.style, found.known) == (style, True)
    assert found.vector.dtype == np.float32 and found.vector.shape == (encoder.dim,)
    assert np.linalg.norm(found.vector) == pytest.approx(1, abs=1e-5)
    assert [s for s, _ in found.nearest][0] == style and len(found.nearest) == 15


def test_degree_moves_away_from_neutral(encoder):
    away = [1 - encoder.neutral @ encoder.encode_text(f"{d}sad").vector for d in ("slightly ", "", "extremely ")]
    assert away[0] < away[1] < away[2]


def test_the_words_around_do_not_matter_much(encoder):
    alone = encoder.encode_text("angry").vector
    for around in ("an angry robot", "an angry teacher in a museum", "the angry nurse is talking about the weather"):
        assert alone @ encoder.encode_text(around).vector > 0.9


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t", "\u200b"])
def test_an_empty_prompt_is_neutral(encoder, prompt):
    found = encoder.encode_text(prompt)
    assert found.style == "neutral" and np.array_equal(found.vector, encoder.neutral)


def test_an_unknown_word_is_neutral_and_says_so(encoder):
    found = encoder.encode_text("xqzt vrumblk")
    assert not found.known and np.array_equal(found.vector, encoder.neutral)
    assert "xqzt vrumblk" in found.note and "nearest" in found.note and "contemptuous" in found.note


@pytest.mark.parametrize(
    ("prompt", "style", "read"),
    [("a cheerfull host", "happy", "'cheerful"), ("joyously", "happy", "'joyous'"), ("smiles", "happy", "'smile'")],
)
def test_a_near_miss_is_read_as_the_listed_word_and_says_so(encoder, prompt, style, read):
    found = encoder.encode_text(prompt)
    assert found.known and found.style == style and f"was read as {read}" in found.note


def test_a_long_prompt_is_read_in_part_and_says_so(encoder):
    found = encoder.encode_text("happy " * 60)
    assert found.style == "happy" and "first 30 of 60 tokens" in found.note


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [(b"happy", "got bytes"), (None, "got NoneType"), (3, "got int"), ("\ud800", "Unicode"),
     ("a" * (MAX_CHARACTERS + 1), f"at most {MAX_CHARACTERS}"), ("happy " * 1_700, "at most")],
)  # fmt: skip
def test_what_is_no_prompt_is_refused(encoder, prompt, reason):
    with pytest.raises(StyleError, match=reason):
        encoder.encode_text(prompt)


@pytest.mark.parametrize(
    "prompt", ["\x00\x01", "a" * 1000, "😀" * 1000, "\u0301" * 900, "🇩🇪👩‍👩‍👧", "<end_of_text>" * 20, "&amp;"]
)
def test_odd_text_is_survived(encoder, prompt):
    assert np.isfinite(encoder.encode_text(prompt).vector).all()


def test_every_style_has_a_mean_embedding(encoder):
    for style in encoder.styles:
        found = encoder.encode_style(style, 1.0)
        assert found.style == style and found.known
    slight, strong = (encoder.encode_style("sad", i).vector @ encoder.neutral for i in (0.3, 1.0))
    assert slight > strong
    for bad in (("grumbly", 0.5), ("sad", 1.5)):
        with pytest.raises(StyleError, match="must"):
            encoder.encode_style(*bad)


class TestImages:
    @pytest.fixture(autouse=True)
    def _needs_tower(self):
        if not (weights_folder() / "style_image.onnx").is_file():
            pytest.skip("models/weights has no style_image.onnx: train it first")

    @pytest.mark.parametrize(("code", "style"), [("1f600", "happy"), ("1f62d", "sad"), ("1f621", "angry"),
                                                 ("1f631", "afraid"), ("1f634", "tired")])  # fmt: skip
    def test_emoji(self, encoder, shared_data, code, style):
        path = shared_data / "emoji" / f"{code}.png"
        found = encoder.encode_image(path)
        assert found.style == style and found.nearest[0][1] > 0.9, "it lies among the texts, which generators know"
        for same in (str(path), path.read_bytes(), Image.open(path)):
            assert np.allclose(encoder.encode_image(same).vector, found.vector, atol=1e-6)

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            (b"", "cannot be read"), (b"not an image", "cannot be read"), (_png(64, 64)[:60], "cannot be read"),
            (_png(1, 1), "8 x 8"), (_png(4, 500), "8 x 8"), ("/no/such/file.png", "found no file"), (7, "got int"),
            (np.zeros((8, 8, 3)), "got ndarray"), (_png(8000, 5001, "1"), f"{MAX_PIXELS:,}"),
        ],
        ids=["empty", "text", "cut", "one pixel", "thin", "missing", "number", "array", "huge"],
    )  # fmt: skip
    def test_bad_images_are_refused(self, encoder, source, reason):
        with pytest.raises(StyleError, match=reason):
            encoder.encode_image(source)

    def test_a_decompression_bomb_is_refused_before_decoding(self, encoder):
        def chunk(kind: bytes, body: bytes) -> bytes:
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 40_000, 8, 2, 0, 0, 0))
        bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")
        start = time.perf_counter()
        with pytest.raises(StyleError, match="pixels"):
            encoder.encode_image(bomb)
        assert time.perf_counter() - start < 1.0

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK", "YCbCr", "HSV"])
    def test_every_mode_is_read_and_left_as_it_was(self, encoder, mode):
        image = Image.new(mode, (40, 30))
        vector = encoder.encode_image(image).vector
        assert np.isfinite(vector).all() and image.mode == mode and image.size == (40, 30)

    def test_a_long_strip_costs_no_memory(self, encoder):
        assert np.isfinite(encoder.encode_image(Image.new("L", (200_000, 8))).vector).all()


def test_missing_weights_say_so(tmp_path):
    with pytest.raises(ModelError, match="style_text"):
        StyleEncoder(tmp_path)


def test_needs_no_torch():
    code = "import sys, media2face.runtime.style as s; s.StyleEncoder(providers='cpu').encode_text('happy')\n"
    code += "assert not {'torch', 'transformers', 'open_clip'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
