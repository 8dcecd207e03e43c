"""Motion clips: what is written comes back, and what breaks the format is refused by name."""

import numpy as np
import pytest

from media2face.data.clips import MotionClip, iter_clips, read_clip_audio
from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.errors import InputError

FRAMES = 60


def values(**changes) -> dict:
    rng = np.random.default_rng(0)
    base = {
        "weights": rng.random((FRAMES, 52), dtype=np.float32),
        "weights_valid": np.arange(52) % 2 == 0,
        "head_rotvec": rng.normal(0, 0.1, (FRAMES, 3)).astype(np.float32),
        "head_translation": rng.normal(0, 0.01, (FRAMES, 3)).astype(np.float32),
        "head_valid": True,
        "style": "happy",
        "intensity": 0.25,
        "speaker": "someone",
        "source": "synthetic",
        "split": "val",
        "phones_start": [0.0, 0.5],
        "phones_end": [0.5, 2.0],
        "phones_label": ["sil", "a"],
    }
    return base | changes


def test_round_trip(tmp_path):
    clip = MotionClip(**values())
    sound = np.sin(np.arange(32000) / 20).astype(np.float32) * 0.5
    path = clip.save(tmp_path / "sub" / "one", sound)
    back = MotionClip.load(path)
    for name in ("weights", "weights_valid", "head_rotvec", "head_translation", "phones_start", "phones_end"):
        np.testing.assert_array_equal(getattr(back, name), getattr(clip, name))
    assert (back.style, back.intensity, back.speaker, back.split, back.head_valid) == (
        "happy", 0.25, "someone", "val", True,
    )  # fmt: skip
    assert back.phones_label.tolist() == ["sil", "a"] and back.names == ARKIT_NAMES
    assert back.duration == pytest.approx(2.0)
    np.testing.assert_allclose(read_clip_audio(path), sound, atol=1e-4)
    assert {p.name for p in path.parent.iterdir()} == {"one.npz", "one.flac"}


def test_defaults_are_a_still_head_and_everything_known():
    clip = MotionClip(weights=np.zeros((5, 52)), speaker="a", source="livelink", split="train", has_audio=False)
    assert clip.weights_valid.all() and not clip.head_valid
    assert clip.head_rotvec.shape == clip.head_translation.shape == (5, 3)
    assert clip.phones_label is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": np.zeros((FRAMES, 51))}, "weights"),
        ({"weights": np.full((FRAMES, 52), 1.1)}, r"\[0, 1\]"),
        ({"weights": np.full((FRAMES, 52), np.nan)}, "finite"),
        ({"weights": np.zeros((0, 52)), "head_rotvec": None, "head_translation": None}, "at least one frame"),
        ({"weights_valid": np.ones(52)}, "weights_valid"),
        ({"head_rotvec": np.zeros((FRAMES - 1, 3))}, "head_rotvec"),
        ({"head_rotvec": np.full((FRAMES, 3), 20.0)}, "degrees"),
        ({"head_translation": np.full((FRAMES, 3), 3.0)}, "centimetres"),
        ({"source": "dream"}, "source"),
        ({"split": "dev"}, "split"),
        ({"speaker": ""}, "speaker"),
        ({"intensity": 1.5}, "intensity"),
        ({"fps": 25}, "30 fps"),
        ({"names": tuple(reversed(ARKIT_NAMES))}, "order"),
        ({"phones_label": None}, "all of"),
        ({"phones_label": ["a"]}, "one label per phone"),
        ({"phones_start": [0.5, 0.0]}, "order of time"),
    ],
)
def test_a_broken_clip_is_refused(changes, said):
    with pytest.raises(InputError, match=said):
        MotionClip(**values(**changes))


def test_sound_and_has_audio_must_agree(tmp_path):
    with pytest.raises(InputError, match="expected audio"):
        MotionClip(**values()).save(tmp_path / "a.npz")
    with pytest.raises(InputError, match="has_audio is False"):
        MotionClip(**values(has_audio=False)).save(tmp_path / "a.npz", np.zeros(100))
    silent = MotionClip(**values(has_audio=False)).save(tmp_path / "b.npz")
    assert not MotionClip.load(silent).has_audio
    with pytest.raises(InputError, match="no audio"):
        read_clip_audio(silent)


def test_damaged_and_foreign_files_are_named(tmp_path):
    with pytest.raises(InputError, match="gone"):
        MotionClip.load(tmp_path / "gone.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(InputError, match="text"):
        MotionClip.load(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(InputError, match="lacks"):
        MotionClip.load(tmp_path / "other.npz")
    whole = MotionClip(**values(has_audio=False)).save(tmp_path / "whole.npz")
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole.read_bytes()[:-500])
    with pytest.raises(InputError, match="cut"):
        MotionClip.load(cut)


def test_iter_clips_selects(tmp_path):
    for i, (source, split) in enumerate([("grid", "train"), ("grid", "val"), ("synthetic", "train")]):
        MotionClip(**values(source=source, split=split, has_audio=False)).save(tmp_path / source / f"{i}.npz")
    (tmp_path / "grid" / ".9.npz.part").write_text("unfinished")
    assert [p.stem for p, _ in iter_clips(tmp_path)] == ["0", "1", "2"]
    assert [p.stem for p, _ in iter_clips(tmp_path, split="train")] == ["0", "2"]
    assert [p.stem for p, _ in iter_clips(tmp_path, split="train", source="synthetic")] == ["2"]
