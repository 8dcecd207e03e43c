"""``media2face animate --template``: refused before anything is computed, or a file that moves by name."""

import numpy as np
import pytest

from media2face.bodies.export_glb import HEAD
from media2face.bodies.gltf.animation import CLIP
from media2face.bodies.gltf.container import Glb
from media2face.cli.main import main
from media2face.runtime.engine import EngineModels
from media2face.runtime.errors import ModelError

LITE = HEAD.with_name("head_lite.glb")


@pytest.fixture
def no_models(monkeypatch):
    def load(*_, **__):
        raise AssertionError("models were loaded before the template was looked at")

    monkeypatch.setattr(EngineModels, "load", load)


def test_mistakes_are_told_before_the_work(speech, tmp_path, capsys, no_models):
    out = tmp_path / "out.glb"
    (tmp_path / "text.glb").write_text("no head")
    cases = [
        (["--template", tmp_path / "none.glb", "-o", out], "expected a GLB file"),
        (["--template", tmp_path / "text.glb", "-o", out], "no GLB"),
        (["--template", speech, "-o", out], "no GLB"),
        (["--template", LITE, "-o", tmp_path / "out.npz"], "add -o NAME.glb"),
        (["--template", LITE, "-o", out, "--identity", "sample:1"], "leave --identity out"),
        (["--template", LITE, "-o", LITE], "the template itself"),
    ]
    for arguments, reason in cases:
        assert main(["animate", str(speech), *map(str, arguments)]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and reason in lines[0], lines
    assert not out.exists()


def test_a_template_moves(speech, tmp_path, capsys):
    try:
        EngineModels.load(providers="cpu")
    except ModelError as error:
        pytest.skip(f"the weights are not shipped: {error}")
    out, arrays = tmp_path / "out.glb", tmp_path / "out.npz"
    assert main(["animate", str(speech), "--template", str(LITE), "-o", str(out), "-o", str(arrays)]) == 0
    said = capsys.readouterr().out
    assert "52 of 52 shapes found by name" in said and "head: 'head'" in said
    glb = Glb.read(out)
    clip = glb.items("animations")[0]
    assert clip["name"] == CLIP
    face = next(k for k, node in enumerate(glb.items("nodes")) if node["name"] == "face")
    sampler = next(c["sampler"] for c in clip["channels"] if c["target"] == {"node": face, "path": "weights"})
    keys = glb.array(clip["samplers"][sampler]["output"])
    with np.load(arrays) as file:
        assert np.abs(keys.reshape(-1, 52) - file["weights"]).max() < 1e-6
