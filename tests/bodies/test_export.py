"""Performances as files: what they hold, that they appear whole or not at all, and that sound and picture agree."""

import csv
import shutil

import av
import numpy as np
import pytest
import soundfile

from media2face.bodies import check_output, export, export_mp4, export_npz
from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.audio_io import read_audio
from media2face.runtime.errors import ConfigError, InputError


@pytest.fixture
def small_film(monkeypatch):
    monkeypatch.setattr(export_mp4, "SIZE", (96, 96))


def test_npz_holds_what_it_says(performance, tmp_path):
    path = export(performance, tmp_path / "a.npz")
    with np.load(path, allow_pickle=False) as file:
        assert set(file.files) == {
            "fps", "names", "weights", "head_rotation", "head_translation", "latents", "model", "seed"
        }  # fmt: skip
        assert file["fps"] == 30 and tuple(file["names"]) == ARKIT_NAMES
        assert file["model"] == "denoiser" and file["seed"] == 7
        for key, shape in {"weights": (20, 52), "head_rotation": (20, 4), "head_translation": (20, 3)}.items():
            assert file[key].shape == shape and file[key].dtype == np.float32
            assert np.array_equal(file[key], getattr(performance, key))
        assert file["latents"].dtype == np.float32


def test_npz_comes_back(performance, tmp_path):
    again = export_npz.read(export(performance, tmp_path / "a.npz"))
    assert np.array_equal(again.weights, performance.weights) and again.names == performance.names
    assert (again.fps, again.model, again.seed, again.audio) == (30, "denoiser", 7, None)


def test_reading_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("other.npz", "text.npz", "missing.npz"):
        with pytest.raises(InputError, match="expected a performance"):
            export_npz.read(tmp_path / name)


def test_csv_is_the_same_as_a_table(performance, tmp_path):
    path = export(performance, tmp_path / "a.csv")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20 and list(rows[0])[:3] == ["frame", "time", "eyeBlinkLeft"]
    assert [int(r["frame"]) for r in rows] == list(range(20))
    assert float(rows[15]["time"]) == pytest.approx(0.5, abs=1e-6)
    table = np.array([[float(r[n]) for n in ARKIT_NAMES] for r in rows])
    assert np.abs(table - performance.weights).max() < 1e-6
    rotation = np.array([[float(r[f"head_rotation_{a}"]) for a in "xyzw"] for r in rows])
    assert np.abs(rotation - performance.head_rotation).max() < 1e-6
    latents = np.array([[float(r[f"latent_{i:02d}"]) for i in range(52)] for r in rows])
    assert np.abs(latents - performance.latents).max() < 1e-6
    assert {(r["model"], r["seed"]) for r in rows} == {("denoiser", "7")}


def test_film_is_30_fps_h264_with_aac(performance, tmp_path, posed, small_film):
    seen = []
    path = export(performance, tmp_path / "a.mp4", decoder=posed, progress=lambda *p: seen.append(p))
    assert seen == [(k + 1, 20) for k in range(20)]
    with av.open(str(path)) as film:
        picture, sound = film.streams.video[0], film.streams.audio[0]
        assert picture.codec_context.name == "h264" and picture.codec_context.pix_fmt == "yuv420p"
        assert picture.average_rate == 30 and sound.codec_context.name == "aac"
        times = [float(f.pts * f.time_base) for f in film.decode(picture)]
    assert np.allclose(times, np.arange(20) / 30, atol=1e-4)


def decoded_sound(path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as film:
        frames = list(film.decode(audio=0))
    first = float(frames[0].pts * frames[0].time_base)
    rate = frames[0].sample_rate
    samples = np.concatenate([f.to_ndarray()[0] for f in frames])
    skip = round(-first * rate)  # the encoder's run-in lies before time 0
    return (samples[skip:] if skip >= 0 else np.pad(samples, (-skip, 0))), rate


@pytest.mark.parametrize("source", ["array", "file"])
def test_film_sound_is_in_step(performance, tmp_path, posed, small_film, source):
    """The sound of the film, decoded, lies within 2 ms of the speech it was made from."""
    if source == "file":
        soundfile.write(tmp_path / "speech.wav", performance.audio, 16_000)
        performance.audio = tmp_path / "speech.wav"
        speech = read_audio(performance.audio).samples
    else:
        speech = performance.audio
    heard, rate = decoded_sound(export(performance, tmp_path / "a.mp4", decoder=posed))
    assert abs(len(heard) / rate - 20 / 30) < 0.05
    loud = np.convolve(np.abs(heard), np.ones(96) / 96, "same") > 0.1
    onsets = np.flatnonzero(np.diff(loud.astype(int)) == 1) / rate
    wanted = np.convolve(np.abs(np.repeat(speech, 3)), np.ones(96) / 96, "same") > 0.1
    expected = np.flatnonzero(np.diff(wanted.astype(int)) == 1) / 48_000
    assert len(onsets) == len(expected) == 2
    assert np.abs(onsets - expected).max() < 2e-3


def test_film_shows_frame_k_at_k_over_30(performance, tmp_path, posed, small_film):
    """A head that jumps at frame 12 jumps in the film at 0.4 s, neither sooner nor later."""
    performance.head_rotation[:] = (0, 0, 0, 1)
    performance.head_rotation[12:] = (0, 0, np.sin(0.2), np.cos(0.2))
    path = export(performance, tmp_path / "a.mp4", decoder=posed)
    with av.open(str(path)) as film:
        images = [f.to_ndarray(format="rgb24").astype(float) for f in film.decode(video=0)]
    change = [np.abs(b - a).mean() for a, b in zip(images, images[1:], strict=False)]
    assert int(np.argmax(change)) == 11


def test_film_without_sound(performance, tmp_path, posed, small_film):
    performance.audio = None
    with av.open(str(export(performance, tmp_path / "a.mp4", decoder=posed))) as film:
        assert not film.streams.audio and film.streams.video[0].frames == 20


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_progress_ends_at_the_whole(performance, tmp_path, suffix):
    seen = []
    export(performance, tmp_path / f"a{suffix}", progress=lambda *p: seen.append(p))
    assert seen[-1] == (20, 20)


def test_a_failed_export_leaves_the_earlier_result(performance, tmp_path, posed, small_film):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"an earlier film")
    performance.head_rotation[10] = 0.0  # no rotation at all: the renderer refuses it half-way
    with pytest.raises(InputError, match="quaternion"):
        export(performance, path, decoder=posed)
    assert path.read_bytes() == b"an earlier film"
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"], "nothing half-written is left"


def test_a_full_disc_leaves_the_earlier_result(performance, tmp_path, monkeypatch):
    path = export(performance, tmp_path / "a.npz")
    before = path.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space"):
        export(performance, path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_outputs_that_cannot_be(tmp_path, performance):
    for name in ("a.wav", "a", "a.npz.bak"):
        with pytest.raises(ConfigError, match=".csv, .*.mp4"):
            check_output(tmp_path / name)
    with pytest.raises(ConfigError, match="does not exist"):
        export(performance, tmp_path / "none" / "a.npz")
    (tmp_path / "dir.csv").mkdir()
    with pytest.raises(ConfigError, match="folder"):
        check_output(tmp_path / "dir.csv")
    shutil.rmtree(tmp_path / "dir.csv")
    assert check_output(tmp_path / "A.NPZ").name == "A.NPZ", "suffixes may be capitals"
