"""The command line: help, one clear line for every mistake, and files that a mistake never harms."""

import subprocess
import sys

import numpy as np
import pytest
from failing import fails
from PIL import Image

from media2face import __version__
from media2face.cli import main as command_line
from media2face.cli.main import COMMANDS, command_parser, main


def test_without_arguments_help_lists_every_command(capsys):
    assert main([]) == 2
    text = capsys.readouterr().out
    for name in COMMANDS:
        assert f"  {name}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_examples(name):
    text = command_parser(name).format_help()
    assert "examples:" in text and f"media2face {name} " in text.split("examples:")[1]


def test_version_and_unknown_command(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0 and __version__ in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        main(["animte"])
    assert done.value.code == 2 and "animate" in capsys.readouterr().err


def test_help_starts_without_the_heavy_libraries():
    code = (
        "import sys; from media2face.cli.main import command_parser, overview, COMMANDS; overview();"
        "[command_parser(n) for n in COMMANDS];"
        "bad = {'torch', 'transformers', 'open_clip', 'onnxruntime', 'av', 'embreex', 'rclpy'} & set(sys.modules);"
        "raise SystemExit(f'imported {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_missing_and_broken_speech(capsys, tmp_path):
    assert "no such audio file" in fails(capsys, "animate", tmp_path / "none.wav", "-o", tmp_path / "a.npz")
    (tmp_path / "a.wav").write_text("not sound")
    assert "not audio" in fails(capsys, "animate", tmp_path / "a.wav", "-o", tmp_path / "a.npz")


def test_outputs_are_checked_before_anything_is_done(capsys, tmp_path, speech):
    line = fails(capsys, "animate", speech, "-o", tmp_path / "good.npz", "-o", tmp_path / "bad.avi")
    assert ".npz, " in line and ".mp4, " in line and not (tmp_path / "good.npz").exists()
    assert "does not exist" in fails(capsys, "animate", speech, "-o", tmp_path / "none" / "a.npz")
    with pytest.raises(SystemExit):
        main(["animate", str(speech)])


@pytest.mark.parametrize("seed", ["-1", "x", str(2**63)])
def test_bad_seed(capsys, speech, seed):
    with pytest.raises(SystemExit) as done:
        main(["animate", str(speech), "-o", "a.npz", "--seed", seed])
    assert done.value.code == 2 and "whole number" in capsys.readouterr().err


def test_two_styles_at_once_are_refused(capsys, speech):
    with pytest.raises(SystemExit) as done:
        main(["animate", str(speech), "-o", "a.npz", "--style", "sad", "--style-image", "a.png"])
    assert done.value.code == 2 and "not allowed with" in capsys.readouterr().err


def test_missing_weights_and_unknown_model(capsys, tmp_path, speech, monkeypatch):
    monkeypatch.setenv("MEDIA2FACE_WEIGHTS", str(tmp_path / "nowhere"))
    assert "found no file" in fails(capsys, "animate", speech, "-o", tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


def test_interrupt_and_missing_package_are_one_line(capsys, speech, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    def incomplete(_):
        raise ModuleNotFoundError("No module named 'somewhere'", name="somewhere")

    for run, code, text in ((interrupted, 130, "interrupted"), (incomplete, 2, "'somewhere'")):
        monkeypatch.setattr("media2face.cli.animate.run", run)
        assert command_line.main(["animate", str(speech), "-o", "a.npz"]) == code
        assert text in capsys.readouterr().err


def test_animate_writes_every_format_and_repeats(capsys, tmp_path, speech, shipped):
    """The same seed gives the same file, another seed another; T = ceil(1.5 s x 30)."""
    first, again, other = (tmp_path / n for n in ("first.npz", "again.npz", "other.npz"))
    film, table = tmp_path / "a.mp4", tmp_path / "a.csv"
    assert main(["animate", str(speech), "--seed", "3", "-o", str(first), "-o", str(film), "-o", str(table)]) == 0
    assert main(["animate", str(speech), "--seed", "3", "-o", str(again)]) == 0
    assert main(["animate", str(speech), "--seed", "4", "-o", str(other)]) == 0
    data, same, different = np.load(first), np.load(again), np.load(other)
    assert data["weights"].shape == (45, 52) and data["weights"].min() >= 0 and data["weights"].max() <= 1
    assert np.array_equal(data["weights"], same["weights"]) and not np.array_equal(
        data["latents"], different["latents"]
    )
    assert np.abs(np.linalg.norm(data["head_rotation"], axis=1) - 1).max() < 1e-5
    assert film.stat().st_size > 10_000 and len(table.read_text().splitlines()) == 46


def test_style_words_and_pictures(capsys, tmp_path, speech, shipped):
    def weights(*style) -> np.ndarray:
        assert main(["animate", str(speech), "-o", str(tmp_path / "a.npz"), *map(str, style)]) == 0
        with np.load(tmp_path / "a.npz") as file:
            return file["weights"]

    neutral = weights()
    assert np.abs(weights("--style", "furious") - neutral).max() > 0.01
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    before = (tmp_path / "a.npz").read_bytes()
    fails(capsys, "animate", speech, "-o", tmp_path / "a.npz", "--style-image", tmp_path / "bad.png")
    fails(capsys, "animate", speech, "-o", tmp_path / "a.npz", "--style-image", tmp_path / "none.png")
    assert (tmp_path / "a.npz").read_bytes() == before


def test_the_output_is_never_the_speech(capsys, tmp_path, speech):
    twin = tmp_path / "speech.csv"
    twin.write_bytes(speech.read_bytes())
    before = twin.read_bytes()
    assert "is the speech itself" in fails(capsys, "animate", twin, "-o", twin)
    assert twin.read_bytes() == before


def test_an_identity_that_is_none_ends_in_one_line(capsys, tmp_path, speech, shipped):
    for name, words in (("sample:x", "sample:SEED"), (str(tmp_path / "me.obj"), "found no file")):
        assert words in fails(capsys, "animate", speech, "--identity", name, "-o", tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


def test_another_identity_has_the_same_motion(capsys, tmp_path, speech, shipped):
    """The weights are those of the mean face; the vertices are another person's."""
    for name, more in (("mean", []), ("other", ["--identity", "sample:3"])):
        outputs = ["-o", str(tmp_path / f"{name}.npz"), "-o", str(tmp_path / f"{name}.mesh.npz")]
        assert main(["animate", str(speech), *more, *outputs]) == 0
    files = {n: np.load(tmp_path / n) for n in ("mean.npz", "other.npz", "mean.mesh.npz", "other.mesh.npz")}
    assert np.array_equal(files["mean.npz"]["weights"], files["other.npz"]["weights"])
    apart = np.linalg.norm(files["mean.mesh.npz"]["neutral"] - files["other.mesh.npz"]["neutral"], axis=1)
    assert 2e-3 < apart.mean() < 30e-3
    own = ["animate", str(speech), "--identity", str(tmp_path / "other.mesh.npz"), "-o", str(tmp_path / "b.mesh.npz")]
    assert main(own) == 0, "the mesh archive's neutral is an identity itself"
    again = np.load(tmp_path / "b.mesh.npz")["moved"].astype(int)
    assert np.abs(again - files["other.mesh.npz"]["moved"]).max() <= 2
