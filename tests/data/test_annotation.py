"""Texts by rules: units with intensities, events in order of time, table A, actions and emotions."""

import re

import numpy as np
import pytest

from media2face.data.annotation import wording
from media2face.data.annotation.action_units import MMHEAD, MORE, NOT_TOLD, UNITS, frame_labels, level, unit_intensities
from media2face.data.annotation.rules import annotate, find_emotion
from media2face.data.annotation.timeline import pose_events, swing_events, unit_events
from media2face.data.clips import MotionClip
from media2face.data.performance import perform
from media2face.data.styles import STYLES
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import InputError

FRAMES = 150


def weights_of(**shapes) -> np.ndarray:
    """(150, 52) with shapes (first frame, last, weight)."""
    out = np.zeros((FRAMES, 52))
    for name, (first, last, value) in shapes.items():
        for n in [name] if name in ARKIT_INDEX else [name + "Left", name + "Right"]:
            out[first:last, ARKIT_INDEX[n]] = value
    return out


def clip_of(weights=None, head=None, **values) -> MotionClip:
    values = {"speaker": "x", "source": "video", "split": "train", "has_audio": False} | values
    weights = np.zeros((FRAMES, 52)) if weights is None else weights
    return MotionClip(np.asarray(weights, np.float32), head_rotvec=head, head_valid=True, **values)


def head(pitch=0.0, yaw=0.0, roll=0.0) -> np.ndarray:
    """(150, 3) rotation vectors of one angle in degrees, held from frame 40 to 110; REP-103: x roll, y pitch, z yaw."""
    out = np.zeros((FRAMES, 3))
    out[40:110] = np.radians([roll, pitch, yaw])
    return out


def test_every_unit_of_mmhead_is_told_or_listed():
    told = set(unit_intensities(np.zeros((2, 52))))
    assert len(MMHEAD) == len(set(MMHEAD)) == 41
    assert set(MMHEAD) - told == set(NOT_TOLD) and len(NOT_TOLD) == 8
    assert set(MORE) | (set(MMHEAD) - set(NOT_TOLD)) == told
    assert set(UNITS) <= told


@pytest.mark.parametrize(
    ("shape", "unit"),
    [("browInnerUp", "1"), ("browOuterUp", "2"), ("browDown", "4"), ("eyeWide", "5"), ("cheekSquint", "6"),
     ("eyeSquint", "7"), ("noseSneer", "9"), ("mouthUpperUp", "10"), ("mouthSmile", "12"), ("mouthDimple", "14"),
     ("mouthFrown", "15"), ("mouthLowerDown", "16"), ("mouthShrugLower", "17"), ("mouthPucker", "18"),
     ("tongueOut", "19"), ("mouthStretch", "20"), ("mouthFunnel", "22"), ("mouthPress", "24"), ("jawForward", "29"),
     ("jawLeft", "30L"), ("cheekPuff", "33")],
)  # fmt: skip
def test_a_shape_shows_its_unit(shape, unit):
    tracks = unit_intensities(weights_of(**{shape: (0, FRAMES, 0.6)}))
    assert tracks[unit][0] == pytest.approx(0.6) and level(tracks[unit][0]) == 4
    strongest = {u for u, t in tracks.items() if t[0] > 0.3 and not u.startswith(("L", "R"))}
    assert strongest <= {unit, "25", "26", "27"}


def test_jaw_and_lips_and_lids():
    small, wide = (unit_intensities(weights_of(jawOpen=(0, 150, x))) for x in (0.3, 0.8))
    assert small["26"][0] == pytest.approx(0.3) and small["27"][0] == 0 and small["25"][0] > 0.4
    assert wide["27"][0] == pytest.approx(0.8) and wide["26"][0] == 0
    shut = unit_intensities(weights_of(jawOpen=(0, 150, 0.3), mouthClose=(0, 150, 0.25)))
    assert shut["25"][0] < 0.1
    wink = unit_intensities(weights_of(eyeBlinkLeft=(0, 150, 0.9)))
    assert wink["46L"][0] > 0.8 and wink["46R"][0] == 0


def test_levels_are_those_of_facs():
    assert [int(level(x)) for x in (0.0, 0.07, 0.2, 0.4, 0.6, 0.9)] == [0, 1, 2, 3, 4, 5]
    labels = frame_labels(weights_of(browInnerUp=(10, 20, 0.4)))
    assert labels[0] == "" and labels[15] == "1C"


def test_unknown_shapes_say_nothing():
    valid = np.ones(52, bool)
    valid[ARKIT_INDEX["cheekSquintLeft"]] = valid[ARKIT_INDEX["noseSneerLeft"]] = False
    assert {"6", "L6", "R6", "9"}.isdisjoint(unit_intensities(np.ones((2, 52)), valid))
    with pytest.raises(InputError, match="52"):
        unit_intensities(np.zeros((3, 51)))


def test_events_come_in_order_with_side_and_strength():
    shown = weights_of(mouthSmileLeft=(60, 120, 0.6), browInnerUp=(10, 40, 0.9), browOuterUp=(12, 40, 0.2))
    events = unit_events(shown)
    assert [(e.label, e.side) for e in events] == [("1", ""), ("2", ""), ("12", "left")]
    assert events[0].start == pytest.approx(1 / 3) and events[0].end == pytest.approx(40 / 30)
    assert (events[0].strength, events[2].strength) == (5, 4)


def test_blinks_are_short_and_drooping_is_long():
    weights = weights_of(eyeBlink=(60, 64, 1.0))
    assert [e.label for e in unit_events(weights)] == ["45"]
    weights = np.maximum(weights_of(eyeBlink=(0, 150, 0.35)), weights)
    found = unit_events(weights)
    assert [e.label for e in found] == ["43", "45"] and found[0].seconds == 5 and found[1].seconds < 0.3


def test_speech_is_no_expression():
    rng = np.random.default_rng(0)
    phones = [(0.12 * i, 0.12 * (i + 1), str(p)) for i, p in enumerate(rng.choice(list("mapotilesu"), 40))]
    weights = perform(phones, 4.8, style="neutral", intensity=0.0, seed=3).weights
    mouth = {"10", "12", "16", "18", "20", "22", "25", "26"}
    silent = [e for e in unit_events(weights) if e.label in mouth]
    speaking = [e for e in unit_events(weights, speaking=True) if e.label in mouth]
    assert len(speaking) <= 0.4 * len(silent)


@pytest.mark.parametrize(
    ("angles", "label", "word"),
    [({"pitch": -12}, "up", r"lifts|up|rises"), ({"pitch": 12}, "down", r"lowers|down|drops"),
     ({"yaw": 12}, "left", "left"), ({"yaw": -12}, "right", "right"), ({"roll": -12}, "tilt left", "left"),
     ({"roll": 12}, "tilt right", "right")],
)  # fmt: skip
def test_table_a(angles, label, word):
    (event,) = pose_events(head(**angles))
    assert event.label == label and event.strength == pytest.approx(12, abs=0.5)
    assert event.start == pytest.approx(40 / 30, abs=0.15) and event.end == pytest.approx(110 / 30, abs=0.15)
    text = annotate(clip_of(head=head(**angles)), "k").head_pose
    assert re.search(word, text) and "12 degrees" in text
    opposite = {"left": "right", "right": "left"}.get(word)
    assert opposite is None or opposite not in text


def test_straight_heads_are_straight():
    assert pose_events(head(yaw=2)) == []
    assert annotate(clip_of(), "k").head_pose in wording.STRAIGHT
    clip = clip_of()
    clip.head_valid = False
    assert annotate(clip, "k").head_pose == "The head was not measured."


def test_nods_and_shakes():
    time = np.arange(FRAMES) / 30
    swing = 8 * np.sin(2 * np.pi * 1.7 * time) * ((time > 1) & (time < 2.5))
    for axis, label in ((1, "nod"), (2, "shake")):
        rotvec = np.zeros((FRAMES, 3))
        rotvec[:, axis] = np.radians(swing)
        (event,) = swing_events(rotvec)
        assert event.label == label and 0.8 < event.start < 1.4 and 2.1 < event.end < 2.7
        assert annotate(clip_of(head=rotvec), "k").actions == (label,)
    slow = np.zeros((FRAMES, 3))
    slow[:, 2] = np.radians(10 * np.sin(2 * np.pi * 0.2 * time))
    assert swing_events(slow) == []


def test_actions_in_order():
    clip = clip_of(weights_of(eyeBlinkRight=(100, 110, 1.0), mouthSmile=(20, 80, 0.6), cheekSquint=(20, 80, 0.4)))
    texts = annotate(clip, "k")
    assert texts.actions == ("smile", "wink")
    first, last = (min(texts.action.find(w.split()[-1]) for w in wording.ACTIONS[a] if w in texts.action)
                   for a in texts.actions)  # fmt: skip
    assert 0 <= first < last
    assert annotate(clip_of(), "k").actions == ("rest",)
    assert annotate(clip_of(has_audio=True), "k").actions == ("talk",)
    own = clip_of(events_start=[0.5, 2], events_end=[1, 3], events_label=["laugh", "nod"])
    assert annotate(own, "k").actions == ("laugh", "nod")


def test_emotions_of_the_source_are_kept_and_others_are_seen():
    assert find_emotion(clip_of(source="synthetic", style="tired", intensity=0.5)) == ("tired", True)
    happy = weights_of(mouthSmile=(0, 150, 0.7), cheekSquint=(0, 150, 0.6))
    sad = weights_of(browInnerUp=(0, 150, 0.7), mouthFrown=(0, 150, 0.6))
    assert find_emotion(clip_of(happy)) == ("happy", False) and find_emotion(clip_of(sad)) == ("sad", False)
    assert find_emotion(clip_of()) == ("neutral", False)
    fleeting = weights_of(mouthSmile=(0, 30, 0.7), cheekSquint=(0, 30, 0.6))
    assert find_emotion(clip_of(fleeting)) == ("neutral", False)


@pytest.mark.parametrize("style", STYLES)
def test_every_style_has_words(style):
    clip = clip_of(source="synthetic", style=style, intensity=0.9 if style != "neutral" else 0.0)
    texts = annotate(clip, "k")
    assert any(w in texts.emotion for w in wording.EMOTIONS[style])
    assert len(set(texts.scenarios)) == 3 and set(texts.scenarios) <= set(wording.SCENARIOS[style])


def test_wording_varies_with_the_key_and_is_fixed_by_it():
    clip = clip_of(weights_of(browInnerUp=(10, 60, 0.9), mouthSmile=(80, 140, 0.6)), source="synthetic", style="happy",
                   intensity=0.6)  # fmt: skip
    made = [annotate(clip, f"k{i}") for i in range(30)]
    for name in ("action", "emotion", "expression"):
        assert len({getattr(t, name) for t in made}) > 10
    assert annotate(clip, "k3") == made[3] and annotate(clip, "k3", seed=1) != made[3]
    for t in made:
        assert t.expression.index("inner brows") < t.expression.index("lip corners")
        for text in (t.action, t.emotion, t.expression, t.head_pose, *t.scenarios):
            assert text[0].isupper() and text.endswith(".") and "{" not in text and "  " not in text
    assert set(made[0].written_by.values()) == {"rules"}
    assert all(len(ways) >= 7 for ways in wording.ACTIONS.values()), "as many as MMHead predefines"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["laugh", "chew", "yawn", "wink", "nod", "shake", "smile"])
def test_acts_are_seen_without_their_labels(kind, seed):
    from media2face.data.performance_script import Event, Script, perform_script

    clip = perform_script(Script((Event(at=0.3, act=kind, intensity=0.9),), duration=7.0), seed).clip
    clip.events_start = clip.events_end = clip.events_label = None
    found = annotate(clip, "k").actions
    assert kind in found and not {"laugh", "chew", "yawn"} & set(found) - {kind}
