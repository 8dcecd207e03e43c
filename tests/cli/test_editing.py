"""``media2face animate`` with timelines, keyframes, several recordings and quality: what it makes, what it refuses."""

import json

import failing
import numpy as np
import pytest

from media2face.cli.main import main
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES


@pytest.fixture
def smile(tmp_path):
    path = tmp_path / "smile.json"
    path.write_text(json.dumps({"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}))
    return path


def animate(tmp_path, *arguments, name="made.npz"):
    assert main(["animate", *map(str, arguments), "-o", str(tmp_path / name)]) == 0
    with np.load(tmp_path / name) as file:
        return dict(file)


def fails(capsys, tmp_path, *arguments) -> str:
    line = failing.fails(capsys, "animate", *arguments, "-o", tmp_path / "none.npz")
    assert not (tmp_path / "none.npz").exists()
    return line


def test_keyframes_from_every_source(capsys, tmp_path, speech, smile, shipped):
    made = animate(tmp_path, speech, "--keyframe", f"0.8={smile}", name="first.npz")["weights"]
    assert made[24, ARKIT_INDEX["mouthSmileLeft"]] == pytest.approx(0.8, abs=1e-3)
    table = tmp_path / "pose.csv"
    table.write_text("jawOpen,0.4\nbrowInnerUp,0.6\n")
    clip = tmp_path / "first.npz"
    both = animate(tmp_path, speech, "--keyframe", f"0.5={table}", "--keyframe", f"1.2={clip}@0.8")
    assert both["weights"][15, ARKIT_INDEX["browInnerUp"]] == pytest.approx(0.6, abs=1e-3)
    with np.load(clip) as first:
        np.testing.assert_allclose(both["weights"][36], first["weights"][24], atol=2e-3)
        np.testing.assert_allclose(np.abs(both["head_rotation"][36] @ first["head_rotation"][24]), 1.0, atol=1e-5)


def test_a_picture_is_a_keyframe(capsys, tmp_path, speech, shipped):
    """E_exp reads a rendered smile: the frame is what it read."""
    from PIL import Image

    from media2face.bodies.render import Renderer
    from media2face.runtime.decoder import FaceDecoder
    from media2face.runtime.keyframes import read_keyframe

    decoder = FaceDecoder(providers="cpu")
    weights = np.zeros((1, 52), np.float32)
    weights[0, [ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["mouthSmileRight"]]] = 1.0
    picture = Renderer(decoder.rig, (320, 320)).render(decoder.mesh(decoder.latents(weights))[0])
    path = tmp_path / "smile.png"
    Image.fromarray(picture).save(path)
    made = animate(tmp_path, speech, "--keyframe", f"0.8={path}")["weights"]
    read = read_keyframe(f"0.8={path}", decoder).weights
    np.testing.assert_allclose(made[24], read, atol=1e-3)
    assert read[ARKIT_INDEX["mouthSmileLeft"]] > 0.2
    Image.new("RGB", (64, 64), "grey").save(path)
    assert "no face" in fails(capsys, tmp_path, speech, "--keyframe", f"0.8={path}")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--keyframe", "smile.png"], "cannot read the keyframe"),
        (["--keyframe", "0.5=none.png"], "found no file"),
        (["--keyframe", "0.5={speech}"], "cannot read a face"),
        (["--keyframe", "9={smile}"], "beyond the end"),
        (["--keyframe", "0.5={smile}", "--keyframe", "0.51={smile}"], "two keyframes ask for frame 15"),
        (["--keyframe", "0.5={bad}"], "no ARKit shape"),
        (["--keyframe", "0.5={npz}"], "which moment"),
        (["--keyframe", "0.5={npz}@0"], "no clip of media2face animate"),
        (["--style", "1:happy 0.5:sad"], "goes backwards"),
        (["--style", "0:happy 5:sad"], "outlasts the speech"),
        (["--style", "0:happy", "--style", "sad"], "one for each of the 1 recordings"),
        (["--steps", "0"], "steps must lie within 1 and 500"),
        (["--steps", "10000"], "steps must lie within 1 and 500"),
        (["--guidance-audio", "11"], "guidance_audio must lie within"),
        (["--quality", "--guidance-style", "-9"], "guidance_style must lie within"),
        (["--eye-temperature", "5"], "eye_temperature must lie within"),
        (["--temperature", "nan"], "temperature must lie within"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(capsys, tmp_path, speech, smile, shipped, arguments, reason):
    bad, npz = tmp_path / "bad.json", tmp_path / "other.npz"
    bad.write_text(json.dumps({"smile": 1.0}))
    np.savez(npz, something=np.zeros(3))
    filled = [a.format(speech=speech, smile=smile, bad=bad, npz=npz) for a in arguments]
    assert reason in fails(capsys, tmp_path, speech, *filled)


def test_files_of_weights_that_are_wrong(capsys, tmp_path, speech, shipped):
    path = tmp_path / "pose.json"
    for text, reason in (
        ('{"jawOpen": 3.0}', "outside [0, 1]"), ('{"jawOpen": "wide"}', "no numbers"), ("[0.1, 0.2]", "cannot read"),
        ("3", "no table"), ("{", "cannot read"),
    ):  # fmt: skip
        path.write_text(text)
        assert reason in fails(capsys, tmp_path, speech, "--keyframe", f"0.5={path}")
    path.write_text(json.dumps([0.0] * 52))
    assert len(ARKIT_NAMES) == 52
    animate(tmp_path, speech, "--keyframe", f"0.5={path}")


def test_recordings_one_after_another(capsys, tmp_path, speech, smile, shipped):
    """T is the sum; the styles are their own; the join is no jump; keyframes count over the whole."""
    made = animate(tmp_path, speech, speech, "--style", "very happy", "--style", "sad", "--keyframe", f"2.9={smile}")
    weights = made["weights"]
    assert weights.shape == (90, 52)
    assert weights[87, ARKIT_INDEX["mouthSmileLeft"]] == pytest.approx(0.8, abs=1e-3)
    smiles = weights[:, ARKIT_INDEX["mouthSmileLeft"]]
    assert smiles[15:45].mean() > smiles[60:70].mean() + 0.05
    steps = np.abs(np.diff(weights, axis=0)).max(axis=1)
    assert steps[44] <= 1.5 * np.delete(steps, 44).max()
    assert "belongs to one recording" in fails(capsys, tmp_path, speech, speech, "--style", "0:happy 1:sad")


def test_quality_repeats_and_keeps_its_keys(tmp_path, speech, smile, shipped):
    options = (speech, "--quality", "--steps", "4", "--keyframe", f"1.0={smile}", "--style", "0:happy 0.7~0.5:sad")
    first, again = animate(tmp_path, *options)["weights"], animate(tmp_path, *options, name="b.npz")["weights"]
    np.testing.assert_array_equal(first, again)
    assert first.shape == (45, 52)
    assert first[30, ARKIT_INDEX["mouthSmileLeft"]] == pytest.approx(0.8, abs=1e-3)
    live = animate(tmp_path, speech, "--steps", "4")["weights"]
    assert np.abs(first - live).max() > 0.01


def test_a_quality_run_that_is_interrupted_leaves_no_file(capsys, tmp_path, speech, shipped, monkeypatch):
    calls = []

    def interrupt(bar, done, total=None):
        calls.append(done)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("media2face.cli.animate.advance", interrupt)
    assert main(["animate", str(speech), "--quality", "--steps", "4", "-o", str(tmp_path / "a.npz")]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["speech.wav"]
