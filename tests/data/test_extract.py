"""Video to clips, with every kind of video that people have; made from GRID's with PyAV."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from media2face.data.clips import MotionClip, read_clip_audio
from media2face.data.extraction.filters import Filters
from media2face.data.extraction.pipeline import ExtractConfig, hash_split
from media2face.data.extraction.runner import MANIFEST, REJECTED, Extraction, check_folder
from media2face.data.extraction.video import Video, find_videos
from media2face.data.extraction.workers import LocalWorkers, RayWorkers
from media2face.data.files import Journal
from media2face.data.rig import ICTRig
from media2face.runtime.audio_io import read_audio
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.errors import ConfigError, InputError

pytest.importorskip("mediapipe", reason="extraction needs the [data] extra")
REAL = ("bbaf2n", "bbaf3s")


def encode(path: Path, pictures: list[np.ndarray], times: list[float], sound: np.ndarray | None, crf: int = 18) -> Path:
    """An H.264 file of RGB pictures at ``times`` s, with 16 kHz ``sound`` as AAC."""
    from fractions import Fraction

    import av

    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=round(1 / np.median(np.diff(times))), options={"crf": str(crf)})
        video.height, video.width = pictures[0].shape[:2]
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = video.time_base = Fraction(1, 12_000)
        if sound is not None:
            audio = out.add_stream("aac", rate=16_000)
        for picture, when in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = round(when * 12_000), Fraction(1, 12_000)
            out.mux(video.encode(frame))
        out.mux(video.encode())
        if sound is not None:
            for start in range(0, len(sound), 1024):
                frame = av.AudioFrame.from_ndarray(sound[None, start : start + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts = 16_000, start
                out.mux(audio.encode(frame))
            out.mux(audio.encode())
    return path


def turn_flag(path: Path, height: int) -> None:
    """Set the display matrix of an MP4 as a phone held upright does: show it turned by 90 degrees clockwise."""
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd") + 4
    matrix = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, height << 16, 0, 1 << 30)
    content[header + 40 : header + 76] = matrix
    path.write_bytes(content)


@pytest.fixture(scope="module")
def talk(shared_data):
    """(pictures, sound) of GRID videos by id."""
    out = {}
    for name in REAL:
        pictures = [p for _, p in Video(shared_data / "grid_s1" / f"{name}.mp4").frames()]
        out[name] = pictures, read_audio(shared_data / "grid_s1" / f"{name}.opus").samples
    return out


@pytest.fixture(scope="module")
def videos(talk, tmp_path_factory):
    """A folder of videos, one for each thing that can be wrong or odd with a video."""
    folder = tmp_path_factory.mktemp("videos")
    pictures, sound = talk["bbaf2n"]
    times = [k / 25 for k in range(75)]
    encode(folder / "plain.mp4", pictures, times, sound)
    encode(folder / "portrait.mp4", [np.rot90(p) for p in pictures], times, sound)
    turn_flag(folder / "portrait.mp4", 192)
    encode(folder / "fps10.mp4", pictures[::3], [k / 10 for k in range(25)], sound[:40_000])
    slow = [pictures[min(int(k / 120 * 25), 74)] for k in range(360)]
    encode(folder / "fps120.mp4", slow, [k / 120 for k in range(360)], sound)
    rng = np.random.default_rng(0)
    uneven = np.sort(rng.choice(74, 70, replace=False))
    encode(folder / "uneven.mp4", [pictures[k] for k in uneven], [times[k] for k in uneven], sound)
    two = [np.concatenate([p, q], axis=1) for p, q in zip(pictures, talk["bbaf3s"][0], strict=True)]
    encode(folder / "two.mp4", two, times, sound)
    encode(folder / "noface.mp4", [np.full((192, 192, 3), 40 + k, np.uint8) for k in range(75)], times, sound)
    encode(folder / "silent.mp4", pictures, times, None)
    shifted = np.concatenate([np.zeros(6400, np.float32), sound])[: len(sound)]
    encode(folder / "late.mp4", pictures, times, shifted)
    other = [p[::-1, ::-1] // 2 for p in pictures[:10]]  # a dark upside-down shot between two
    encode(folder / "shots.mp4", pictures[:40] + other + pictures[40:], [k / 25 for k in range(85)],
           np.concatenate([sound[:25_600], np.zeros(6_400, np.float32), sound[25_600:]]))  # fmt: skip
    encode(folder / "whole.mkv", pictures, times, sound)
    content = (folder / "whole.mkv").read_bytes()
    (folder / "whole.mkv").unlink()
    (folder / "cut.mkv").write_bytes(content[: int(0.7 * len(content))])
    (folder / "cut.mp4").write_bytes((folder / "plain.mp4").read_bytes()[:9_000])
    (folder / "text.mp4").write_text("no video")
    (folder / "empty.mp4").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def extracted(videos, shared_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("clips")
    work = Extraction(out, ExtractConfig(shared_data))
    workers = LocalWorkers(1)
    seen = []
    try:
        summary = work.run(find_videos([videos]), workers, "one", lambda done, clips: seen.append((done, clips)))
    finally:
        workers.close()
    assert sum(d for d, _ in seen) == summary.videos == 14 and sum(c for _, c in seen) == summary.clips
    return out, {line["name"]: line for line in work.done.values()}


def reasons(line) -> list[str]:
    return [r["reason"] for r in line["rejected"]]


def test_a_plain_video_becomes_a_clip(extracted, shared_data):
    out, lines = extracted
    (clip_line,) = lines["plain"]["clips"]
    clip = MotionClip.load(out / "one" / "plain_00.npz")
    assert (clip.source, clip.speaker, clip.take) == ("video", "one", "plain") and clip.split == hash_split("plain")
    assert clip.frames == int(np.ceil(len(read_clip_audio(out / "one" / "plain_00.npz")) / 16_000 * 30 - 1e-9))
    decoder = FaceDecoder()
    assert clip.latent_space == decoder.fingerprint
    np.testing.assert_allclose(clip.latents, decoder.latents(clip.weights), atol=1e-5)
    measured = clip_line["quality"]
    assert measured["sync"] > 0.35 and abs(measured["offset_s"]) <= 0.1 and measured["residual_mm"] < 1
    gap = ICTRig.load(shared_data).gap_mm(clip.weights)
    assert gap.max() > 6 and (gap < 1.6).mean() > 0.2, "it speaks"
    assert json.loads((out / "one" / "plain_00.json").read_text())["video"] == "plain.mp4"
    assert check_folder(out) == []


def same_mouth(out, shared_data, name: str) -> float:
    """Correlation of a clip's lip gap with that of the plain one."""
    rig = ICTRig.load(shared_data)
    a, b = (rig.gap_mm(MotionClip.load(out / "one" / f"{n}_00.npz").weights) for n in ("plain", name))
    return float(np.corrcoef(a[: min(len(a), len(b))], b[: min(len(a), len(b))])[0, 1])


def test_a_phone_held_upright_is_turned(extracted, videos, talk, shared_data):
    out, lines = extracted
    shown = [p for _, p in Video(videos / "portrait.mp4").frames()]
    assert np.abs(shown[30].astype(int) - talk["bbaf2n"][0][30]).mean() < 5
    assert same_mouth(out, shared_data, "portrait") > 0.95


@pytest.mark.parametrize("name", ["fps120", "uneven"])
def test_frame_rates_come_to_thirty(extracted, shared_data, name):
    out, _ = extracted
    assert same_mouth(out, shared_data, name) > 0.85


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fps10", "10 frames per second, expected 20"),
        ("two", "more than one face"),
        ("noface", "no face"),
        ("silent", "no sound"),
        ("late", "sound and mouth"),
        ("cut", "not a readable video"),
        ("text", "not a readable video"),
        ("empty", "not a readable video"),
    ],
)
def test_what_cannot_be_used_is_listed_with_the_reason(extracted, name, reason):
    out, lines = extracted
    line = next(x for n, x in lines.items() if n.startswith(name) and not x["video"].endswith(".mkv"))
    assert line["clips"] == [] and reason in reasons(line)[0]
    rows = [json.loads(x) for x in (out / REJECTED).read_text().splitlines()]
    assert [r["reason"] for r in rows if r["video"] == line["video"]] == reasons(line)


def test_a_change_of_shot_splits(extracted):
    _, lines = extracted
    spans = [(c["start"], c["end"]) for c in lines["shots"]["clips"]]
    assert all(end <= 1.7 or start >= 1.9 for start, end in spans), spans
    assert any(start >= 1.9 for start, _ in spans) or any("too short" in r for r in reasons(lines["shots"]))


def test_a_long_stretch_is_cut_where_it_is_quiet(talk, shared_data, tmp_path):
    """Twelve seconds without a break: a take played to and fro."""
    pictures, sound = talk["bbaf2n"]
    sound = np.resize(sound, 48_000)
    video = encode(tmp_path / "long.mp4", [*pictures, *pictures[::-1]] * 2, [k / 25 for k in range(300)],
                   np.concatenate([sound, sound[::-1]] * 2))  # fmt: skip
    workers = LocalWorkers(1)
    try:
        work = Extraction(tmp_path / "out", ExtractConfig(shared_data, Filters(min_sync=-1, max_offset_s=1)))
        work.run([video], workers)
    finally:
        workers.close()
    clips = work.done[str(video)]["clips"]
    assert len(clips) == 2 and clips[0]["end"] == clips[1]["start"] and clips[1]["end"] == pytest.approx(12, abs=0.1)
    assert 7 <= clips[0]["end"] <= 10
    heard = []
    for c in clips:
        clip = MotionClip.load(tmp_path / "out" / "long" / f"{c['id']}.npz")
        assert clip.frames == c["frames"] and abs(clip.frames / 30 - (c["end"] - c["start"])) < 0.034
        assert clip.take == "long" and clip.split == hash_split("long"), "clips of one video stay together"
        heard.append(read_clip_audio(tmp_path / "out" / "long" / f"{c['id']}.npz"))
    at_cut = np.concatenate([heard[0][-800:], heard[1][:800]])
    assert np.abs(at_cut).max() < 0.3 * np.abs(heard[0]).max()


def test_a_file_cut_mid_way_gives_what_was_there(extracted):
    _, lines = extracted
    line = next(x for x in lines.values() if x["video"].endswith("cut.mkv"))
    assert line["clips"] and 1 < line["seconds"] < 2.9


def test_silent_video_is_kept_on_demand(videos, shared_data, tmp_path):
    workers = LocalWorkers(1)
    try:
        work = Extraction(tmp_path, ExtractConfig(shared_data, Filters(need_sound=False)))
        work.run([videos / "silent.mp4"], workers)
        with pytest.raises(ConfigError, match="other settings"):
            Extraction(tmp_path, ExtractConfig(shared_data))
    finally:
        workers.close()
    clip = MotionClip.load(tmp_path / "silent" / "silent_00.npz")
    assert not clip.has_audio and clip.frames == 90


@pytest.mark.slow
def test_killed_and_run_again(videos, shared_data, tmp_path):
    """SIGKILL of the whole process group while it works; the next run ends with every video, each file whole."""
    wanted = [str(videos / f"{n}.mp4") for n in ("plain", "portrait", "uneven")]
    command = [sys.executable, "-c", "import sys; from media2face.cli.main import main; sys.exit(main())", "extract",
               *wanted, "-o", str(tmp_path), "--data", str(shared_data), "--jobs", "1", "--talker", "one"]  # fmt: skip
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and len(Journal.read(tmp_path / MANIFEST)) < 2:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {line["name"] for line in Journal.read(tmp_path / MANIFEST) if "name" in line}
    assert 1 <= len(before) < 3
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/*.npz") if p.stem[:-3] in before}
    with open(tmp_path / MANIFEST, "ab") as file:
        file.write(b'{"video": "half a li')
    subprocess.run(command, check=True, capture_output=True, timeout=400)
    assert {line["name"] for line in Journal(tmp_path / MANIFEST).lines if "name" in line} == {
        "plain", "portrait", "uneven",
    }  # fmt: skip
    assert check_folder(tmp_path) == []
    assert all(p.stat().st_mtime_ns == t for p, t in kept.items()), "what was done is not done again"
    assert not list(tmp_path.rglob("*.part")) and not (tmp_path / ".work").exists()
    command[command.index(str(tmp_path))] = str(tmp_path / "again")
    subprocess.run(command, check=True, capture_output=True, timeout=400)
    for name in ("plain", "portrait", "uneven"):  # the rest face is that of all three, also after a kill
        a, b = (MotionClip.load(f / "one" / f"{name}_00.npz") for f in (tmp_path, tmp_path / "again"))
        np.testing.assert_array_equal(a.weights, b.weights)


@pytest.mark.slow
def test_a_full_disk_keeps_what_is_whole(videos, shared_data, tmp_path):
    """No file may grow beyond 20 kB: clips cannot be written; one line says why; then there is room again."""
    command = [sys.executable, "-c", "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
               "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
               "from media2face.cli.main import main; sys.exit(main())", "extract", str(videos / "plain.mp4"), "-o",
               str(tmp_path), "--data", str(shared_data), "--jobs", "1"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 2 and "no room to write" in done.stderr and "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.part")) and not list(tmp_path.rglob("*_00.npz"))
    command[2] = "import sys; from media2face.cli.main import main; sys.exit(main())"
    subprocess.run(command, check=True, capture_output=True, timeout=400)
    assert MotionClip.load(tmp_path / "plain" / "plain_00.npz").frames >= 90


@pytest.mark.slow
def test_a_ray_cluster_does_the_same(videos, extracted, shared_data, tmp_path):
    pytest.importorskip("ray", reason="needs the [ray] extra")
    workers = RayWorkers("local", 1)
    try:
        work = Extraction(tmp_path, ExtractConfig(shared_data))
        work.run([videos / "plain.mp4", videos / "text.mp4"], workers, "one")
    finally:
        workers.close()
    assert check_folder(tmp_path) == []
    a, b = (MotionClip.load(f / "one" / "plain_00.npz") for f in (extracted[0], tmp_path))
    assert a.frames == b.frames


def test_missing_paths_are_named(shared_data, tmp_path):
    with pytest.raises(InputError, match="no video or folder"):
        find_videos([tmp_path / "none.mp4"])
    with pytest.raises(InputError, match="no video"):
        find_videos([tmp_path])
    with pytest.raises(ConfigError, match="face_landmarker.task"):
        Extraction(tmp_path / "out", ExtractConfig(tmp_path))
