"""The parts of extraction on made-up tracks: filters, shots, cleaning, the sync score; and files that are whole."""

import errno
import json

import numpy as np
import pytest

from media2face.data.clips import MotionClip, read_clip_audio
from media2face.data.extraction.cleaning import Cleaning, box_outliers, clean, smooth_near
from media2face.data.extraction.filters import Filters, stretches, turn_deg
from media2face.data.extraction.pipeline import Quality, even
from media2face.data.extraction.sync import sync
from media2face.data.files import Journal, whole_file
from media2face.data.tracking import FaceTrack
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import ConfigError, InputError


def track(frames: int = 150, fps: float = 30.0) -> FaceTrack:
    """A still face of 60 px between the eyes."""
    points = np.zeros((frames, 478, 3), np.float32)
    points[:, 33, 0], points[:, 263, 0] = 70, 130
    return FaceTrack(
        times=np.arange(frames) / fps, landmarks=points, scores=np.zeros((frames, 52), np.float32),
        matrices=np.tile(np.eye(4, dtype=np.float32), (frames, 1, 1)), found=np.ones(frames, bool),
        change=np.full(frames, 1.0, np.float32), faces=np.ones(frames, np.int16),
    )  # fmt: skip


def spans(given: FaceTrack, **settings) -> tuple[list, list]:
    kept, rejected = stretches(given, Filters(**settings))
    return [(s.first, s.last) for s in kept], [r.reason for r in rejected]


def test_a_good_track_is_one_stretch():
    assert spans(track()) == ([(0, 150)], [])


def test_short_losses_are_bridged_long_ones_split():
    t = track()
    t.found[40:43] = False
    kept, rejected = stretches(t, Filters())
    assert [(s.first, s.last) for s in kept] == [(0, 150)] and kept[0].bridged.sum() == 3 and not rejected
    t.found[40:50] = False
    assert spans(t) == ([(0, 40), (50, 150)], ["no face"])
    t = track()
    t.found[:10] = False  # at an end there is nothing to bridge to
    assert spans(t) == ([(10, 150)], ["no face"])


@pytest.mark.parametrize("what", ["faces", "size", "turn"])
def test_other_bad_frames(what):
    t = track()
    part = slice(60, 90)
    if what == "faces":
        t.faces[part] = 2
    elif what == "size":
        t.landmarks[part] *= 0.4
    else:
        angle = np.radians(50)
        t.matrices[part, 0, 0] = t.matrices[part, 2, 2] = np.cos(angle)
        t.matrices[part, 0, 2], t.matrices[part, 2, 0] = np.sin(angle), -np.sin(angle)
        assert turn_deg(t)[70] == pytest.approx(50, abs=0.1)
    kept, reasons = spans(t)
    expected = {"faces": "more than one face", "size": "face too small", "turn": "face turned away"}[what]
    assert kept == [(0, 60), (90, 150)] and reasons == [expected]


def test_shots_pauses_and_broken_pictures_split():
    t = track()
    t.change[75] = 60.0
    assert spans(t)[0] == [(0, 75), (75, 150)]
    t.change[70:80] = 60.0  # a pan moves every frame: no cut
    assert spans(t)[0] == [(0, 150)]
    t = track()
    t.times[75:] += 0.5
    assert spans(t)[0] == [(0, 75), (75, 150)]
    t = track()
    t.change[75] = 9.0
    kept, reasons = spans(t)
    assert kept == [(0, 60), (75, 150)] and reasons == ["picture jumps"]
    t = track()
    t.landmarks[75:, :, 0] += 80  # another head, in the same light
    assert spans(t)[0] == [(0, 75), (75, 150)]


def test_what_is_too_short_says_so():
    t = track(150)
    t.found[20:40] = False
    kept, reasons = spans(t)
    assert kept == [(40, 150)] and reasons[0].startswith("too short: 0.67 s") and reasons[1] == "no face"


@pytest.mark.parametrize(
    "settings",
    [{"min_fps": 0}, {"min_seconds": 0.1}, {"min_seconds": 5, "max_seconds": 4}, {"max_turn_deg": 90}, {"min_sync": 2},
     {"min_quality": -0.1}, {"max_seconds": 500}],
)  # fmt: skip
def test_thresholds_are_checked(settings):
    with pytest.raises(ConfigError, match="expected"):
        Filters(**settings)
    with pytest.raises(ConfigError):
        Cleaning(scale=0)


def test_uneven_frames_come_to_an_even_rate():
    t = track()
    assert even(t) is t
    rng = np.random.default_rng(0)
    t.times = np.sort(rng.uniform(0, 5, 150))
    t.landmarks[:, 0, 0] = np.sin(t.times)
    smooth = even(t)
    np.testing.assert_allclose(np.diff(smooth.times), 1 / 30, atol=1e-9)
    assert np.abs(smooth.landmarks[:, 0, 0] - np.sin(smooth.times)).max() < 0.02


def test_box_plot_finds_the_odd_frames_and_leaves_movements():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.02, (200, 5))
    x[50] += 1.0
    x[120:123] += 1.0
    found = box_outliers(x)
    assert np.flatnonzero(found).tolist() == [50, 120, 121, 122]
    x[150:170] += 1.0  # too long to be a mistake
    assert not box_outliers(x)[150:170].any()
    assert not box_outliers(np.ones((50, 3))).any()


def test_smoothing_stays_near_the_estimates():
    rng = np.random.default_rng(0)
    time = np.arange(300) / 30
    truth = np.sin(2 * np.pi * 0.5 * time)[:, None]
    noisy = truth + rng.normal(0, 0.1, truth.shape)
    smooth = smooth_near(noisy, 2.0)
    assert np.abs(smooth - truth).mean() < 0.6 * np.abs(noisy - truth).mean()
    assert np.abs(smooth).max() > 0.85, "the paper's loss without a data term would flatten it"
    # the minimiser, checked against its own loss
    loss = lambda y: ((y - noisy) ** 2).sum() + 2.0 * (np.diff(y, axis=0) ** 2).sum()  # noqa: E731
    assert all(loss(smooth) < loss(smooth + rng.normal(0, 1e-3, smooth.shape)) for _ in range(20))
    known = np.ones(300, bool)
    known[100:103] = False
    wrong = noisy.copy()
    wrong[100:103] = 9.0
    assert np.abs(smooth_near(wrong, 2.0, known)[100:103]).max() < 1.5
    assert np.abs(smooth_near(wrong, 0.0, known)[100:103]).max() < 1.5


def test_cleaning_replaces_glitches_and_keeps_blinks():
    frames = 120
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 0.03, (frames, 52))
    blink = [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]
    weights[60:64, blink] = 1.0
    weights[30, ARKIT_INDEX["jawOpen"]] = 1.0  # a single wild frame
    rotvec = rng.normal(0, 0.01, (frames, 3))
    rotvec[90] += 0.8
    done = clean(weights, rotvec, np.zeros((frames, 3)), np.ones(frames), np.zeros(frames, bool))
    assert done.weights[30, ARKIT_INDEX["jawOpen"]] < 0.1
    assert done.weights[61:63, blink].min() > 0.75
    assert np.abs(done.head_rotvec[90]).max() < 0.1
    assert np.flatnonzero(done.replaced).tolist() == [30, 90]


def test_a_quality_fails_by_its_worst_part():
    good = dict(score=0.9, sync=0.6, offset_s=0.0, speech=0.5, residual_mm=0.4, misfit_mm=1.0, eye_px=60, replaced=0.0)
    f = Filters()
    assert Quality(**good).problem(f) == ""
    for change, words in (
        ({"sync": 0.1}, "agree"), ({"offset_s": 0.3}, "+300 ms apart"), ({"residual_mm": 3}, "lips fitted"),
        ({"misfit_mm": 9}, "head landmarks"), ({"score": 0.05}, "quality"),
    ):  # fmt: skip
        assert words in Quality(**good | change).problem(f)
    assert Quality(**good | {"sync": 0.0, "offset_s": 0.4, "speech": 0.0}).problem(f) == "", "nobody speaks"
    assert Quality(**good | {"sync": float("nan")}).record()["sync"] is None


def test_sync_tells_shifted_and_foreign_sound(shared_data, tmp_path):
    """On synthetic speech of known phones: the true pair scores high at no lag, shifted and foreign sound does not."""
    from media2face.data.performance import perform
    from media2face.data.singing import say

    made = []
    for text, voice in (("the small boat went over the blue water today", "en-us+m3"),
                        ("five people asked about a map of my home", "en-gb+f2")):  # fmt: skip
        try:
            spoken = say(text, voice)
        except InputError as error:
            pytest.skip(f"espeak-ng: {error}")
        made.append((perform(spoken.phones, spoken.seconds, spoken.samples, seed=1).weights, spoken.samples))
    for weights, samples in made:
        true = sync(weights, samples)
        assert true.score > 0.45 and abs(true.offset_s) <= 0.07 and true.speech > 0.4
        late = sync(weights, np.concatenate([np.zeros(4800, np.float32), samples])[: len(samples)])
        assert late.offset_s == pytest.approx(true.offset_s - 0.3, abs=0.04) and late.score < true.score - 0.2
    (a, sound), (b, _) = made
    frames = min(len(a), len(b))
    assert sync(b[:frames], sound[: frames * 16_000 // 30]).score < 0.3
    assert sync(np.zeros((60, 52)), np.zeros(32_000, np.float32)).speech < 0.1


def test_corpus_agreement(shared_data):
    """A real clip: the score of GRID's own sound stands out from shifted sound."""
    from media2face.data.extraction.sync import heard
    from media2face.runtime.audio_io import read_audio

    sound = read_audio(shared_data / "grid_s1" / "bbaf2n.opus").samples
    gap, _, speech = heard(sound, 90)
    assert gap.shape == (90,) and np.isfinite(gap).all() and 0.2 < (speech > 0.5).mean() < 0.8
    assert gap[speech < 0.1].mean() < gap[speech > 0.9].mean()


def test_only_the_video_that_kills_its_process_is_left_out(shared_data, tmp_path, monkeypatch):
    """A pool loses every job under way when one process dies; the innocent ones are done all the same."""
    from concurrent.futures import Future
    from concurrent.futures.process import BrokenProcessPool

    from media2face.data.extraction import runner
    from media2face.data.extraction.pipeline import ExtractConfig

    class Pool:
        size = 3
        pending: list = []

        def submit(self, function, *arguments):
            future = Future()
            self.pending.append((future, arguments))
            return future

        def share(self, value):
            return value

        died = staticmethod(lambda error: isinstance(error, BrokenProcessPool))

    pool = Pool()
    crashes = []

    def work(futures, return_when):
        """Let all pending jobs run together; a bad one takes the others with it."""
        jobs, pool.pending = pool.pending, []
        bad = any(a[0].stem == "bad" for _, a in jobs)
        crashes.extend([len(jobs)] * bad)
        for future, _ in jobs:
            future.set_exception(BrokenProcessPool()) if bad else future.set_result("nothing seen")
        return type("Done", (), {"done": [f for f, _ in jobs]})

    monkeypatch.setattr(runner, "wait", work)
    videos = [tmp_path / f"{n}.mp4" for n in ("a", "bad", "c", "d", "e", "f", "g")]
    for v in videos:
        v.write_bytes(b"")
    made = runner.Extraction(tmp_path / "out", ExtractConfig(shared_data))
    made.run(videos, pool)
    reasons = {line["name"]: line["rejected"][0]["reason"] for line in made.done.values()}
    assert reasons == {n: "nothing seen" for n in "acdefg"} | {"bad": "ends the process that works on it"}
    assert crashes == [6, 1]


def test_files_are_whole_or_not_there(tmp_path, monkeypatch):
    target = tmp_path / "a.bin"
    with pytest.raises(RuntimeError), whole_file(target) as file:
        file.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with whole_file(target) as file:
        file.write(b"whole")
    assert target.read_bytes() == b"whole"

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="no room to write a.bin"), whole_file(target) as file:
        file.write(b"more")
    assert target.read_bytes() == b"whole" and len(list(tmp_path.iterdir())) == 1
    journal = Journal(tmp_path / "j.jsonl")
    with pytest.raises(InputError, match="no room"):
        journal.add({"a": 1})
    assert journal.lines == [] and (tmp_path / "j.jsonl").read_bytes() == b""


def test_a_journal_drops_half_a_line(tmp_path):
    path = tmp_path / "j.jsonl"
    journal = Journal(path)
    journal.add({"n": 1, "x": 0.1})
    journal.add({"n": 2, "text": "größer"})
    with open(path, "ab") as file:
        file.write(b'{"n": 3, "te')
    again = Journal(path)
    assert [v["n"] for v in again.lines] == [1, 2]
    again.add({"n": 4})
    assert [json.loads(x)["n"] for x in path.read_text().splitlines()] == [1, 2, 4]


def test_new_fields_of_clips_come_back(tmp_path):
    clip = MotionClip(
        np.zeros((30, 52)), "me", "video", "train", take="t", quality=0.5, latents=np.ones((30, 64)),
        latent_space="abc", events_start=[0.1], events_end=[0.5], events_label=["nod"],
    )  # fmt: skip
    back = MotionClip.load(clip.save(tmp_path / "c.npz", np.zeros(16_000)))
    assert (back.take, back.quality, back.latent_space, back.events_label.tolist()) == ("t", 0.5, "abc", ["nod"])
    np.testing.assert_array_equal(back.latents, clip.latents)
    assert clip.to_bytes() == back.to_bytes()
    assert len(read_clip_audio(tmp_path / "c.npz")) == 16_000
    with pytest.raises(InputError, match="latent_space"):
        MotionClip(np.zeros((30, 52)), "me", "video", "train", latents=np.ones((30, 64)))
    with pytest.raises(InputError, match="quality"):
        MotionClip(np.zeros((30, 52)), "me", "video", "train", quality=2)
    with pytest.raises(InputError, match="events"):
        MotionClip(np.zeros((30, 52)), "me", "video", "train", events_start=[1.0], events_end=[0.5], events_label=["x"])
