"""Datasets: what is built is what was given, in whole shards, whatever interrupts the build."""

import json
import os
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest

from media2face.cli.main import main
from media2face.data.clips import MotionClip, iter_clips, read_clip_audio
from media2face.data.dataset import INDEX, MANIFEST, MotionDataset, verify
from media2face.data.dataset_build import BuildConfig, DatasetBuilder, plan, shards_of
from media2face.data.files import Journal
from media2face.runtime.errors import ConfigError, InputError

CLIPS = 30


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Thirty clips: 20 synthetic ones of five voices, 10 of video of two talkers, every fifth without sound."""
    root = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    for i in range(CLIPS):
        made = i < 20
        frames = int(rng.integers(30, 120))
        sound = None if i % 5 == 4 else rng.normal(0, 0.05, frames * 1600 // 3).astype(np.float32)
        head = np.cumsum(rng.normal(0, 0.01, (frames, 3)), axis=0)
        clip = MotionClip(
            rng.uniform(0, 0.5, (frames, 52)), speaker=f"voice{i % 5}" if made else f"talker{i % 2}",
            source="synthetic" if made else "video",
            split=("train", "train", "val", "test")[i % 4] if made else "train",
            head_rotvec=head, head_valid=True, style="happy" if made and i % 3 else "neutral",
            intensity=0.5 if made and i % 3 else 0.0, has_audio=sound is not None,
            take="" if made else f"take{i // 2}",
            quality=1.0 if made else 0.3 + 0.06 * (i - 20),
        )  # fmt: skip
        clip.save(root / clip.speaker / f"clip{i:02d}.npz", sound)
    (root / ".work").mkdir()
    (root / ".work" / "half.npz").write_text("not a clip")
    return root


def build(clips, out, plots=False, **settings):
    config = BuildConfig(**{"shard_clips": 8} | settings)
    return DatasetBuilder(out, config, plots=plots).build(plan([clips], config))


@pytest.fixture(scope="module")
def dataset(clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("dataset")
    build(clips, out, plots=True)
    return out


def content(folder) -> dict:
    """Bytes of every file but the pictures and the page that shows them."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file() and p.suffix not in (".png", ".md")}


def test_what_is_read_is_what_was_given(clips, dataset):
    built, plain = MotionDataset.open(dataset), MotionDataset.open(clips)
    given = dict((p.stem, c) for p, c in iter_clips(clips))
    assert len(built) == len(plain) == CLIPS
    assert [e.name for e in built] == [e.name for e in plain], "the same order"
    for entry, other in zip(built, plain, strict=True):
        clip, own = entry.clip(), other.clip()
        np.testing.assert_array_equal(clip.weights, given[entry.name].weights)
        np.testing.assert_array_equal(clip.weights, own.weights)
        assert (clip.speaker, clip.split, clip.style) == (own.speaker, own.split, own.style)
        if entry.has_audio:
            np.testing.assert_array_equal(entry.audio(), other.audio())
        else:
            with pytest.raises(InputError, match="no sound"):
                entry.audio()
    assert {e.split for e in built.select("val")} == {"val"} and len(built.select(source="video")) == 10


def test_five_levels_of_text_for_every_clip(dataset):
    for entry in MotionDataset.open(dataset):
        record = entry.texts()
        texts = record["texts"]
        assert all(len(texts[k]) > 8 for k in ("action", "emotion", "expression", "head_pose"))
        assert len(set(texts["scenarios"])) == 3 and record["synthetic"] == (not entry.real)
        assert sum(n for _, n in record["units"]) == entry.frames
        assert entry.labels["actions"] == texts["actions"] and entry.labels["emotion"] == texts["emotion_label"]


def test_shards_are_webdataset_tars_with_checksums(dataset):
    manifest = json.loads((dataset / MANIFEST).read_text())
    assert manifest["totals"]["all"]["clips"] == CLIPS and manifest["totals"]["real"]["clips"] == 10
    assert sum(s["clips"] for s in manifest["shards"]) == CLIPS and max(s["clips"] for s in manifest["shards"]) <= 8
    for shard in manifest["shards"]:
        with tarfile.open(dataset / shard["name"]) as tar:
            names = tar.getnames()
        keys = list(dict.fromkeys(n.split(".")[0] for n in names))
        assert len(keys) == shard["clips"]
        assert [n.split(".")[0] for n in names] == [k for k in keys for n in names if n.split(".")[0] == k]
        assert {n.split(".", 1)[1] for n in names} <= {"npz", "flac", "json"}
    assert verify(dataset, deep=True) == []


def test_webdataset_reads_it(dataset):
    webdataset = pytest.importorskip("webdataset", reason="the loader needs no webdataset")
    shards = [str(p) for p in sorted(dataset.glob("*.tar"))]
    rows = list(webdataset.WebDataset(shards, shardshuffle=False))
    assert len(rows) == CLIPS and all("npz" in r and "json" in r for r in rows)


def test_the_same_clips_give_the_same_bytes(clips, dataset, tmp_path):
    build(clips, tmp_path)
    assert content(tmp_path) == content(dataset)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    build(clips, tmp_path)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before, "a finished build does nothing"


def test_other_settings_leave_nothing_stale(clips, tmp_path):
    build(clips, tmp_path, shard_clips=4)
    many = len(list(tmp_path.glob("*.tar")))
    manifest = build(clips, tmp_path, shard_clips=100)
    assert len(list(tmp_path.glob("*.tar"))) == len(manifest["shards"]) < many and verify(tmp_path) == []


def test_splits_by_take_and_speaker(clips):
    for by in ("take", "speaker"):
        planned = plan([clips], BuildConfig(split=by))
        groups = {}
        for p in planned:
            groups.setdefault(p.speaker if by == "speaker" else (p.speaker, p.take), set()).add(p.split)
        assert all(len(s) == 1 for s in groups.values())
    low = plan([clips], BuildConfig(min_quality=0.5))
    assert len(low) == CLIPS - 4


def test_a_take_torn_between_splits_is_refused(tmp_path):
    for i, split in enumerate(("train", "val")):
        MotionClip(np.zeros((30, 52)), "me", "video", split, take="t", has_audio=False).save(tmp_path / f"{i}.npz")
    with pytest.raises(InputError, match="two splits"):
        plan([tmp_path], BuildConfig())
    assert len(plan([tmp_path], BuildConfig(split="take"))) == 2


def test_mistakes_are_named(clips, tmp_path):
    with pytest.raises(InputError, match="no motion clips"):
        plan([tmp_path], BuildConfig())
    with pytest.raises(InputError, match="would be named"):
        plan([clips, clips], BuildConfig())
    with pytest.raises(InputError, match="expected a dataset"):
        MotionDataset.open(tmp_path)
    for settings in ({"shard_clips": 0}, {"split": "odd"}, {"min_quality": 2}):
        with pytest.raises(ConfigError, match="expected"):
            BuildConfig(**settings)
    MotionClip(np.zeros((30, 52)), "me", "video", "train").save(tmp_path / "a.npz", np.zeros(16_000))
    (tmp_path / "a.flac").unlink()
    with pytest.raises(InputError, match="no sound"):
        plan([tmp_path], BuildConfig())
    assert main(["data", "build", str(clips), "-o", str(tmp_path / "o"), "--text-model", "m"]) == 2


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "index", "stray"])
def test_damage_is_found(clips, tmp_path, damage, capsys):
    build(clips, tmp_path)
    shard = sorted(tmp_path.glob("*.tar"))[0]
    if damage == "flip":
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 255
        shard.write_bytes(data)
    elif damage == "cut":
        os.truncate(shard, shard.stat().st_size - 512)
    elif damage == "gone":
        shard.unlink()
    elif damage == "index":
        (tmp_path / INDEX).write_text("{}\n")
    else:
        (tmp_path / "train-00099.tar").write_bytes(b"")
    assert main(["data", "verify", str(tmp_path)]) == 1
    named = {"index": INDEX, "stray": "train-00099.tar"}.get(damage, shard.name)
    assert named in capsys.readouterr().out
    if damage in ("cut", "gone", "index"):
        with pytest.raises(InputError, match="verify"):
            MotionDataset.open(tmp_path)


SLOW = """
import sys, time
from pathlib import Path
from media2face.data import dataset_build as b
whole = b.DatasetBuilder._contents
def slow(self, *a):
    time.sleep(0.1)
    yield from whole(self, *a)
b.DatasetBuilder._contents = slow
config = b.BuildConfig(shard_clips=8)
b.DatasetBuilder(Path(sys.argv[2]), config, plots=False).build(b.plan([Path(sys.argv[1])], config))
"""


def test_a_killed_build_goes_on(clips, dataset, tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(clips), str(tmp_path)])
    journal = tmp_path / ".work" / "shards.jsonl"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and len(Journal.read(journal)) < 2:
        time.sleep(0.02)
    time.sleep(0.25)  # in the middle of the third
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.tar")}
    assert len(kept) == 2 and not (tmp_path / MANIFEST).exists()
    with pytest.raises(InputError, match="not finished"):
        MotionDataset.open(tmp_path)
    assert "not to the end" in verify(tmp_path)[0]
    build(clips, tmp_path)
    assert content(tmp_path) == content(dataset) and not (tmp_path / ".work").exists()
    assert {n: (tmp_path / n).stat().st_mtime_ns for n in kept} == kept, "finished shards are not written again"
    assert not list(tmp_path.glob(".*.part")), "what the kill left is gone"


def test_a_full_disk_is_one_line_and_a_second_run_ends_well(clips, dataset, tmp_path):
    limit = (dataset / "train-00000.tar").stat().st_size // 2
    command = [sys.executable, "-c", "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
               f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
               "from media2face.cli.main import main; sys.exit(main())", "data", "build", str(clips), "-o",
               str(tmp_path), "--shard-clips", "8"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 2 and "no room to write" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.glob(".*.part")) and not (tmp_path / MANIFEST).exists()
    build(clips, tmp_path)
    assert content(tmp_path) == content(dataset)


def test_answers_of_an_endpoint_survive_a_kill(clips, tmp_path):
    """Answers are journaled one by one: after an interruption nothing is asked twice."""
    from media2face.data.annotation.endpoint import EndpointConfig, TextEndpoint
    from media2face.data.annotation.rules import LEVELS

    class Fake(TextEndpoint):
        def __init__(self, fail_after):
            super().__init__(EndpointConfig("http://127.0.0.1:9/v1", "fake"))
            self.asked, self.fail_after = [], fail_after

        def rewrite(self, clip, texts, speaking):
            if len(self.asked) >= self.fail_after:
                raise KeyboardInterrupt
            self.asked.append(clip.take)
            values = texts.record() | {"action": "Someone was asked.", "written_by": dict.fromkeys(LEVELS, "fake")}
            return type(texts)(**values | {"scenarios": texts.scenarios, "actions": texts.actions})

    config = BuildConfig(shard_clips=8, endpoint=EndpointConfig("http://127.0.0.1:9/v1", "fake"))
    planned = plan([clips], config)
    first = Fake(11)
    with pytest.raises(KeyboardInterrupt):
        DatasetBuilder(tmp_path, config, first, plots=False).build(planned)
    second = Fake(1000)
    DatasetBuilder(tmp_path, config, second, plots=False).build(planned)
    assert len(first.asked) == 11 and len(second.asked) == CLIPS - 11
    assert all(e.texts()["texts"]["action"] == "Someone was asked." for e in MotionDataset.open(tmp_path))
    assert "Written by fake" in (tmp_path / "README.md").read_text()


def test_the_card_counts_real_and_synthetic_apart(dataset):
    card = json.loads((dataset / "card.json").read_text())
    entries = MotionDataset.open(dataset).entries
    for kind in ("real", "synthetic"):
        mine = [e for e in entries if e.real == (kind == "real")]
        totals = card["totals"][kind]
        assert totals["clips"] == len(mine) and totals["speakers"] == len({e.speaker for e in mine})
        assert totals["hours"] == pytest.approx(sum(e.frames for e in mine) / 30 / 3600, abs=1e-4)
        assert sum(card["statistics"][kind]["emotion"].values()) == len(mine)
        assert sum(card["statistics"][kind]["yaw"].values()) == sum(e.frames for e in mine)
    text = (dataset / "README.md").read_text()
    assert all(column in text for column in ("Act.", "Emo.", "Exp.", "Pose", "Scn.", "hours", "speakers", "technique"))
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    for name in ("lengths", "emotions", "actions", "units", "head_pose"):
        assert (dataset / f"{name}.png").read_bytes().startswith(b"\x89PNG") and f"({name}.png)" in text


def test_shards_mix_the_sources(clips):
    shards = shards_of(plan([clips], BuildConfig()), 8)
    train = [[p.speaker.startswith("voice") for p in members] for name, members in shards if name.startswith("train")]
    assert any(0 < sum(m) < len(m) for m in train)


@pytest.mark.slow
def test_trainings_read_a_dataset_as_they_read_a_folder(clips, dataset, tmp_path):
    """The motion cache, the input of the denoiser's training, is byte for byte the same from both."""
    pytest.importorskip("torch", reason="training needs the [train] extra")
    from media2face.training import motion_cache

    motion_cache.PROMPTS = 1
    for name, source in (("a", clips), ("b", dataset)):
        motion_cache.build(source, tmp_path / name, noisy=0.5, limit=3)
    for file in ("states.npy", "features.npy", "index.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    rows = json.loads((tmp_path / "a" / "index.json").read_text())["clips"]
    assert len(rows) == 5 and {r["source"] for r in rows} == {"video", "synthetic"}
    assert read_clip_audio(next((clips / "voice0").glob("clip00.npz"))).size > 0
