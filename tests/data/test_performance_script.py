"""Scripts: acts that look like themselves, sung notes on pitch, variation from take to take, and what is refused."""

import json

import numpy as np
import pytest

from media2face.data import visemes
from media2face.data.acts import ACTS, make_act
from media2face.data.annotation.rules import annotate
from media2face.data.annotation.timeline import swing_events
from media2face.data.clips import MotionClip, read_clip_audio
from media2face.data.performance_script import Event, Script, main, perform_script, random_script
from media2face.data.singing import parse_note, say, sing
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import ConfigError, InputError


def act(kind: str, seed: int = 0, seconds: float | None = None, power: float = 0.9) -> MotionClip:
    """A clip of one act that starts at 0.3 s."""
    return perform_script(Script((Event(at=0.3, act=kind, intensity=power, duration=seconds),)), seed).clip


def column(clip: MotionClip, name: str) -> np.ndarray:
    return clip.weights[:, visemes.both(name)].mean(axis=1)


@pytest.fixture(scope="module")
def voice():
    try:
        say("a")
    except InputError as error:
        pytest.skip(f"espeak-ng: {error}")
    pytest.importorskip("pyworld", reason="singing needs the [data] extra")


@pytest.mark.parametrize("kind", list(ACTS))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_acts_start_and_end_at_rest(kind, seed):
    made = make_act(kind, 60, 0.8, np.random.default_rng(seed))
    assert made.weights.shape == made.owns.shape == (60, 52)
    for track in (made.weights, made.owns, made.closure, made.head):
        assert np.isfinite(track).all() and np.abs(track[[0, -1]]).max() < 0.05
    assert 0 <= made.weights.min() and made.weights.max() <= 1
    assert np.abs(np.diff(made.head, axis=0)).max() * 30 < 250, "degrees per second"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_act_does_what_it_is_called(seed):
    nod, shake = act("nod", seed, 1.5), act("shake", seed, 1.8)
    for clip, label, axis in ((nod, "nod", 1), (shake, "shake", 2)):
        assert label in [e.label for e in swing_events(clip.head_rotvec)]
        assert np.ptp(np.degrees(clip.head_rotvec[9:50, axis])) > 6
    wink = act("wink", seed, 0.6)
    lids = wink.weights[:, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]]
    assert np.abs(lids[:, 0] - lids[:, 1]).max() > 0.6
    assert column(act("frown", seed, 2), "browDown").max() > 0.55
    assert column(act("smile", seed, 2), "mouthSmile").max() > 0.4
    yawn = act("yawn", seed, 4.5)
    assert yawn.weights[:, ARKIT_INDEX["jawOpen"]].max() > 0.65 and column(yawn, "eyeBlink").max() > 0.5
    assert (yawn.weights[:, ARKIT_INDEX["jawOpen"]] > 0.5).sum() > 30, "a yawn lasts"
    chew = act("chew", seed, 4)
    part = slice(24, 110)
    jaw = chew.weights[part, ARKIT_INDEX["jawOpen"]]
    strokes = ((jaw[1:-1] > jaw[:-2]) & (jaw[1:-1] >= jaw[2:]) & (jaw[1:-1] > 0.5 * jaw.max())).sum()
    assert 2 <= strokes <= 8 and visemes.gap_mm(chew.weights[part]).max() < 1.5, "with the mouth shut"
    laugh = act("laugh", seed, 2.5)
    gap = visemes.gap_mm(laugh.weights[15:60])
    assert column(laugh, "mouthSmile").max() > 0.5 and column(laugh, "cheekSquint").max() > 0.4
    assert gap.max() > 4 and (np.diff(np.sign(np.diff(gap))) != 0).sum() >= 6, "in bursts"


def test_strength_and_takes_vary():
    weak, strong = (np.ptp(act("nod", 3, 1.5, p).head_rotvec[:, 1]) for p in (0.3, 1.0))
    assert strong > 1.6 * weak
    takes = [act("laugh", s, 2.0) for s in range(4)]
    assert all(np.abs(a.weights - b.weights).max() > 0.1 for a, b in zip(takes[:-1], takes[1:], strict=True))
    np.testing.assert_array_equal(act("laugh", 1, 2.0).weights, takes[1].weights)
    assert len({act("wink", s).frames for s in range(6)}) > 1, "a length that is not given is drawn"


def test_labels_follow_the_script():
    script = Script((Event(at=2.0, act="yawn"), Event(at=0.5, act="nod", duration=1.0)), style="tired", intensity=0.6)
    take = perform_script(script, 4)
    clip = take.clip
    assert take.audio is None and not clip.has_audio and clip.source == "synthetic" and clip.style == "tired"
    assert clip.events_label.tolist() == ["nod", "yawn"] and clip.events_end[0] == pytest.approx(1.5)
    texts = annotate(clip, "k")
    assert texts.actions == ("nod", "yawn") and texts.emotion_label == "tired"


def test_eyes_stay_on_their_target_while_the_head_nods():
    still = Script((), duration=2.2)
    nodding = Script((Event(at=0.3, act="nod", duration=1.5, intensity=1.0),), duration=2.2)
    a, b = (perform_script(s, 5).clip for s in (still, nodding))
    from media2face.runtime.eyes import eye_angles

    in_room = [np.degrees(eye_angles(c.weights, "left")[:, 1] + c.head_rotvec[:, 1]) for c in (a, b)]
    moved = np.degrees(np.abs(a.head_rotvec[:, 1] - b.head_rotvec[:, 1])).max()
    assert moved > 5 and np.abs(in_room[0] - in_room[1]).max() < 0.35 * moved


def test_singing_is_on_its_notes(voice):
    import pyworld

    notes = [parse_note(n) for n in ("C4 0.5", "E4 0.5", "G4 0.7")]
    sung = sing("la la la", notes)
    f0, times = pyworld.harvest(sung.samples.astype(np.float64), 16_000)
    vowels = [(s, e) for s, e, p in sung.phones if p in ("A", "a", "uh", "ax") and e - s > 0.2]
    assert len(vowels) == 3
    for (start, end), note in zip(vowels, notes, strict=True):
        inside = (times > start + 0.08) & (times < end - 0.06) & (f0 > 0)
        assert 12 * abs(np.log2(np.median(f0[inside]) / note.hertz)) < 0.4, "semitones"
    assert sung.phones[0][0] == 0 and sung.phones[-1][1] == pytest.approx(sung.seconds, abs=1e-3)
    spoken = say("la la la")
    assert sung.seconds > 1.4 * spoken.seconds


def test_words_and_songs_move_the_mouth_and_sound(voice, tmp_path):
    script = Script((Event(at=0.4, say="hello mom"), Event(at=2.5, sing="la la", notes=("A4 0.6", "E4 0.6"))))
    take = perform_script(script, 2)
    assert len(take.audio) == pytest.approx(take.clip.duration * 16_000, abs=600)
    level = [np.sqrt(np.mean(take.audio[a * 16 : b * 16] ** 2)) for a, b in ((0, 350), (500, 1000), (2600, 3400))]
    assert level[0] < 1e-4 < 0.01 < min(level[1:])
    gap = visemes.gap_mm(take.clip.weights)
    assert gap[80:100].max() > 3 and gap[:10].max() < 3
    timed = zip(take.clip.phones_start, take.clip.phones_end, take.clip.phones_label, strict=True)
    closed = [(s, e) for s, e, p in timed if p == "m" and e - s > 0.04]
    assert closed and all(gap[int(s * 30) : int(e * 30) + 2].min() < 0.81 for s, e in closed)
    assert take.clip.events_label.tolist() == ["talk", "sing"] and annotate(take.clip, "k").actions == ("talk", "sing")
    path = take.clip.save(tmp_path / "a.npz", take.audio)
    assert len(read_clip_audio(path)) == len(take.audio)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("events: [{at: 0, act: fly}]", "expected an act of"),
        ("events: [{at: 0, act: nod, say: hi}]", "exactly|one of act, say, sing"),
        ("events: [{at: 0}]", "one of act, say, sing"),
        ("events: [{at: -1, act: nod}]", "expected at in"),
        ("events: [{at: 0, act: nod, intensity: 3}]", "intensity"),
        ("events: [{at: 0, act: yawn, duration: 4}, {at: 2, act: chew}]", "both need the mouth"),
        ("events: [{at: 0, act: nod, duration: 4}]\nduration: 2", "the script has"),
        ("events: [{at: 0, sing: la, notes: [H9]}]", "expected a note"),
        ("events: [{at: 0, jump: high}]", "jump"),
        ("style: grumpy\nevents: [{at: 0, act: nod}]", "expected a style"),
        ("events: []", "expected events"),
        ("events: nod", "a list of events"),
        ("[1, 2", "not YAML"),
        ("speed: 3\nevents: [{at: 0, act: nod}]", "speed"),
    ],
)
def test_scripts_that_cannot_be_are_refused(tmp_path, text, words, voice):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        perform_script(Script.read(path))


def test_files_and_corpora(tmp_path):
    (tmp_path / "a.yaml").write_text("style: happy\nevents:\n  - {at: 0.2, act: wink}\n  - {at: 1.0, act: nod}\n")
    (tmp_path / "b.json").write_text(json.dumps({"events": [{"at": 0.1, "act": "frown"}]}))
    out = tmp_path / "out"
    main([str(tmp_path / "a.yaml"), str(tmp_path / "b.json"), "--takes", "2", "--out", str(out)])
    names = sorted(p.name for p in out.rglob("*.npz"))
    assert names == ["a-0.npz", "a-1.npz", "b-0.npz", "b-1.npz"]
    splits = {MotionClip.load(p).split for p in out.rglob("a-*.npz")}
    assert len(splits) == 1, "takes of a script stay together"


def test_random_scripts_cover_every_act_and_can_be_performed():
    scripts = [random_script(i) for i in range(48)]
    events = [e for s in scripts for e in s.events]
    assert {e.act for e in events if e.act} == set(ACTS) and any(e.sing for e in events)
    assert random_script(7) == scripts[7]
    for script in scripts[:12]:
        if not any(e.sing for e in script.events):
            clip = perform_script(script, 1).clip
            assert clip.frames > 20 and not clip.has_audio
