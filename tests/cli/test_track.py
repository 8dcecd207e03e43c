"""``media2face track``."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("embreex", reason="the renderer makes the picture")

from media2face.bodies.render import Renderer  # noqa: E402
from media2face.cli.main import main  # noqa: E402
from media2face.runtime.arkit import ARKIT_INDEX  # noqa: E402
from media2face.runtime.decoder import FaceDecoder  # noqa: E402
from media2face.runtime.sessions import weights_folder  # noqa: E402


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    for name in ("vision_locator", "vision_pose", "vision_expression", "gnpfa_to_weights"):
        if not (weights_folder() / f"{name}.onnx").is_file():
            pytest.skip(f"no weights of {name} in {weights_folder()}")
    decoder = FaceDecoder(providers="cpu")
    weights = np.zeros((1, 52), np.float32)
    weights[0, ARKIT_INDEX["jawOpen"]] = 0.7
    return Renderer(decoder.rig, (240, 240)).render(decoder.mesh(decoder.latents(weights))[0])


def test_a_picture_becomes_one_frame(face, tmp_path, capsys):
    Image.fromarray(face).save(tmp_path / "face.png")
    assert main(["track", str(tmp_path / "face.png"), "-o", str(tmp_path / "face.npz"), "--provider", "cpu"]) == 0
    assert "1 frames, a face in 100 %" in capsys.readouterr().out
    with np.load(tmp_path / "face.npz", allow_pickle=False) as made:
        assert made["weights"].shape == (1, 52) and made["weights"][0, ARKIT_INDEX["jawOpen"]] > 0.3


def test_a_video_becomes_frames_at_30(face, tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "face.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=15)
        stream.width = stream.height = 240
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for _ in range(8):
            for packet in stream.encode(av.VideoFrame.from_ndarray(face, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    assert main(["track", str(tmp_path / "face.mp4"), "-o", str(tmp_path / "out.npz"), "--provider", "cpu"]) == 0
    with np.load(tmp_path / "out.npz", allow_pickle=False) as made:
        assert made["weights"].shape == (15, 52)


def test_a_video_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "me.mp4").write_bytes(b"my only video")
    assert main(["track", str(tmp_path / "me.mp4"), "-o", str(tmp_path / "." / "me.mp4")]) == 2
    assert "the source itself" in capsys.readouterr().err
    assert (tmp_path / "me.mp4").read_bytes() == b"my only video"


@pytest.mark.parametrize("case", ["missing", "no face", "text", "suffix"])
def test_mistakes_end_in_one_line(face, tmp_path, capsys, case):
    Image.new("RGB", (240, 240), (90, 90, 90)).save(tmp_path / "grey.png")
    (tmp_path / "text.jpg").write_text("no picture")
    source = {"missing": "gone.mp4", "no face": "grey.png", "text": "text.jpg", "suffix": "grey.png"}[case]
    target = "out.xyz" if case == "suffix" else "out.npz"
    assert main(["track", str(tmp_path / source), "-o", str(tmp_path / target), "--provider", "cpu"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "media2face: error:" in error
    assert not (tmp_path / target).exists()
