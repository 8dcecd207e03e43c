"""Real clips end to end: two GRID videos, a broken one and one curve take of each kind."""

import json
from collections import Counter

import numpy as np
import pytest

from media2face.data.clips import MotionClip, iter_clips, read_clip_audio
from media2face.data.extraction.pipeline import hash_split, to_clip_rate
from media2face.data.real_motion import main
from media2face.data.rig import ICTRig
from media2face.data.tracking import FaceTrack
from media2face.runtime.arkit import ARKIT_INDEX


def test_split_is_stable_and_in_proportion():
    counts = Counter(hash_split(f"clip{i}") for i in range(2000))
    assert abs(counts["val"] - 200) < 50 and abs(counts["test"] - 200) < 50
    assert [hash_split(i) for i in ("bbaf2n", "bbal7s", "bbbs6p")] == ["train", "val", "test"]


def test_resampling_keeps_time_and_closures_between_frames():
    times = np.arange(75) / 25
    wave = np.sin(2 * np.pi * 1.3 * times)[:, None]
    out = to_clip_rate(times, wave, 90)
    grid = np.arange(90) / 30
    inside = grid <= times[-1]
    assert np.abs(out[inside, 0] - np.sin(2 * np.pi * 1.3 * grid[inside])).max() < 0.01
    assert out[-1] == pytest.approx(wave[-1]), "held after the last picture"
    closing = 1 - np.exp(-0.5 * ((times - 1.5) / 0.05) ** 2)[:, None]  # lips meet at 1.5 s, between two pictures
    assert to_clip_rate(times, closing, 90)[45, 0] < 0.3 * closing.min() < 0.1


@pytest.fixture(scope="module")
def corpus(shared_data, tmp_path_factory):
    pytest.importorskip("mediapipe", reason="tracking needs the [train] extra")
    pytest.importorskip("av", reason="tracking needs the [train] extra")
    root = tmp_path_factory.mktemp("corpus")
    data = root / "data"
    wanted = ["face_landmarker.task", "ict_face.npz", "ict_vertex_indices.json", "livelink_rom/rom_4.npz"]
    wanted += [f"grid_s1/{i}.{end}" for i in ("bbaf2n", "bbaf3s", "bbizzn") for end in ("mp4", "opus")]
    wanted += ["facegood/3_15.npz", "facegood/3_15.opus"]
    for name in wanted:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).symlink_to(shared_data / name)
    command = ["--data", str(data), "--out", str(root / "out"), "--jobs", "1"]
    main(command)
    return root, command


def test_clips_of_every_source(corpus):
    root, _ = corpus
    clips = dict((p.stem, c) for p, c in iter_clips(root / "out"))
    assert Counter(c.source for c in clips.values()) == {"grid": 2, "facegood": 6, "livelink": 13}
    assert {c.split for c in clips.values() if c.source == "facegood"} == {"test"}
    assert {c.split for c in clips.values() if c.source == "livelink"} == {"train", "val", "test"}
    for path, clip in iter_clips(root / "out"):
        assert clip.has_audio == (clip.source != "livelink")
        if clip.has_audio:
            assert clip.frames == int(np.ceil(len(read_clip_audio(path)) / 16000 * 30 - 1e-9))
    grid = clips["bbaf2n"]
    assert grid.head_valid and not grid.weights_valid[ARKIT_INDEX["tongueOut"]]
    assert np.degrees(np.abs(grid.head_rotvec).max()) < 15 and np.abs(grid.head_translation).max() < 0.05


def test_the_rig_opens_its_mouth_as_the_video_does(corpus, shared_data):
    root, _ = corpus
    rig = ICTRig.load(shared_data)
    for clip_id in ("bbaf2n", "bbaf3s"):
        clip = MotionClip.load(root / "out" / "grid" / f"{clip_id}.npz")
        track = FaceTrack.load(root / "out_tracks" / f"{clip_id}.npz")
        pairs = [(81, 178), (13, 14), (311, 402)]
        opening = np.mean([track.landmarks[:, b, 1] - track.landmarks[:, a, 1] for a, b in pairs], axis=0)
        seen = np.interp(np.arange(clip.frames) / 30, track.times, opening)
        gap = rig.gap_mm(clip.weights)
        assert np.corrcoef(gap, seen)[0, 1] > 0.97
        assert gap.max() > 6 and (gap < 1.5).mean() > 0.2


def test_broken_video_is_reported_and_a_second_run_changes_nothing(corpus):
    root, command = corpus
    rejected = json.loads((root / "out" / "rejected.json").read_text())
    assert list(rejected) == ["bbizzn"] and "63 of 75" in rejected["bbizzn"]
    before = {p: p.stat().st_mtime_ns for p in (root / "out").rglob("*.npz")}
    (root / "out" / "grid" / "bbaf3s.npz").unlink()
    main(command)
    after = {p: p.stat().st_mtime_ns for p in (root / "out").rglob("*.npz")}
    assert after.keys() == before.keys()
    changed = [p.stem for p in before if before[p] != after[p]]
    assert changed == ["bbaf3s"]
