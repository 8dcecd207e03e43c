"""The columns of the steps table tell living motion from still and trembling motion."""

import numpy as np
import pytest

from media2face.data.clips import MotionClip
from media2face.evaluation.lips import lip_rig
from media2face.evaluation.motion_metrics import jitter
from media2face.evaluation.steps_table import blinks, markdown, measure
from media2face.runtime.arkit import ARKIT_INDEX


def test_blinks_are_counted_once_each():
    weights = np.zeros((60, 52), np.float32)
    for start in (10, 30, 50):
        weights[start : start + 4, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]] = 0.9
    assert blinks(weights) == 3


def test_jitter_tells_noise_from_a_slow_turn():
    rng = np.random.default_rng(0)
    slow = np.sin(np.arange(300) / 15)[:, None] * np.ones((1, 3))
    assert jitter(slow) < 0.1
    assert jitter(rng.standard_normal((3000, 3))) == pytest.approx(3**0.5, abs=0.05)


def test_a_mouth_that_stays_shut_is_told_from_the_recorded_one(shared_data):
    weights = np.zeros((30, 52), np.float32)
    weights[:, ARKIT_INDEX["jawOpen"]] = 0.3
    head = np.zeros((30, 3), np.float32)
    phones = {"phones_start": np.array([0.0]), "phones_end": np.array([1.0]), "phones_label": np.array(["a"])}
    clip = MotionClip(weights, "s", "synthetic", "val", head_valid=True, **phones)
    rig = lip_rig(shared_data)
    same, shut = (measure([(w, head)], [clip], rig) for w in (weights, np.zeros_like(weights)))
    assert same["lve_mm"] < 1e-4 < 5 < shut["lve_mm"]
    table = {"recorded": {"synthetic": same}, "student, 1": {"synthetic": shut, "frames_a_second": 100.0}}
    assert "| student, 1 |" in markdown(table) and markdown(table).count("\n") == 3
