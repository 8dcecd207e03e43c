"""FACEGOOD and LiveLink curves to ARKit weights, and the cutting of takes."""

import numpy as np
import pytest

from media2face.data.curve_takes import (
    FACEGOOD_TABLE,
    FACEGOOD_VALID,
    Take,
    clips_of,
    cut_points,
    facegood_weights,
    livelink_weights,
    read_facegood,
    read_livelink,
)
from media2face.data.rig import ICTRig
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import InputError

CURVES = sorted({curve for row in FACEGOOD_TABLE.values() for curve, _ in row})


def test_table_names_arkit_shapes_of_the_mouth_on_the_right_side():
    for shape, row in FACEGOOD_TABLE.items():
        assert FACEGOOD_VALID[ARKIT_INDEX[shape]]
        for side, mark in (("Left", "_l"), ("Right", "_r")):
            if shape.endswith(side):
                assert all(curve.endswith(mark) for curve, _ in row)
    assert not FACEGOOD_VALID[[ARKIT_INDEX[n] for n in ("eyeBlinkLeft", "browInnerUp", "cheekPuff", "tongueOut")]].any()


def test_facegood_weights():
    curves = np.zeros((4, len(CURVES)), np.float32)
    curves[0, CURVES.index("mouth_stretch_c")] = 0.7
    for quarter in ("dl", "dr", "ul", "ur"):
        curves[1, CURVES.index(f"mouth_funnel_{quarter}")] = 0.6
    curves[2, [CURVES.index(c) for c in ("mouth_lipCornerPull_l", "mouth_lipCornerPullOpen_l")]] = 0.8
    out = facegood_weights(curves, CURVES)
    assert out[0, ARKIT_INDEX["jawOpen"]] == pytest.approx(0.7) and np.count_nonzero(out[0]) == 1
    assert out[1, ARKIT_INDEX["mouthFunnel"]] == pytest.approx(0.6) and np.count_nonzero(out[1]) == 1
    assert out[2, ARKIT_INDEX["mouthSmileLeft"]] == 1.0 and np.count_nonzero(out[2]) == 1
    assert not out[3].any()
    with pytest.raises(InputError, match="mouth_stretch_c"):
        facegood_weights(curves[:, :5], [c for c in CURVES if c != "mouth_stretch_c"])


def test_livelink_channels_are_reordered_by_name_and_put_on_the_grid():
    names = [n[0].upper() + n[1:] for n in reversed(ARKIT_NAMES)] + ["HeadYaw"]
    time = np.array([5.0, 5.03, 5.07, 5.1, 5.2])
    values = np.zeros((5, 53), np.float32)
    values[:, names.index("JawRight")] = time - 5.0
    values[:, names.index("TongueOut")] = 1.003
    out = livelink_weights(values, names, time)
    assert out.shape == (7, 52)
    np.testing.assert_allclose(out[:, ARKIT_INDEX["jawRight"]], np.arange(7) / 30, atol=1e-6)
    assert out[:, ARKIT_INDEX["tongueOut"]].max() == 1.0 and not out[:, ARKIT_INDEX["jawLeft"]].any()
    with pytest.raises(InputError, match="jawOpen"):
        livelink_weights(values, [n if n != "JawOpen" else "Jaw" for n in names], time)


def test_cuts_lie_in_pauses_and_cover_the_take():
    sound = np.random.default_rng(0).normal(0, 0.1, 16000 * 25).astype(np.float32)
    pauses = [int(8.4 * 16000), int(17.1 * 16000)]
    for at in pauses:
        sound[at - 3000 : at + 3000] = 0
    cuts = cut_points(sound, 750)
    assert cuts[0] == 0 and cuts[-1] == 750 and max(np.diff(cuts)) <= 300
    np.testing.assert_allclose(np.array(cuts[1:3]) / 30, [8.4, 17.1], atol=0.11)
    assert all(k % 3 == 0 for k in cuts[:-1])
    assert cut_points(None, 650) == [0, 300, 600, 650]


def test_clips_keep_sound_and_motion_together():
    frames = 400
    take = Take("t", "facegood", np.tile(np.arange(frames)[:, None] / frames, (1, 52)), FACEGOOD_VALID)
    take.audio = np.repeat(np.arange(frames), 534)[: frames * 1600 // 3].astype(np.float32) / frames
    first, last = clips_of(take, ["train", "val"])
    assert (first[0], last[0]) == ("t_00", "t_01") and (first[1].split, last[1].split) == ("train", "val")
    for _, clip, sound in (first, last):
        assert int(np.ceil(len(sound) / 16000 * 30 - 1e-9)) == clip.frames
        assert abs(sound[0] - clip.weights[0, 0]) < 3 / frames
    assert first[1].frames + last[1].frames == frames


def test_real_takes_close_and_open_the_mouth(shared_data):
    rig = ICTRig.load(shared_data)
    facegood = read_facegood(shared_data / "facegood" / "3_15.npz")
    gap = rig.gap_mm(facegood.weights)
    assert abs(len(facegood.audio) / 16000 * 30 - len(gap)) < 3
    assert (gap < 1.3).mean() > 0.1 and np.percentile(gap, 95) > 8
    loud = np.array([np.abs(facegood.audio[k * 1600 // 3 :][:533]).mean() for k in range(len(gap))])
    assert np.corrcoef(np.log(loud + 1e-3), facegood.weights[:, ARKIT_INDEX["jawOpen"]])[0, 1] > 0.5
    rom = read_livelink(shared_data / "livelink_rom" / "rom_3.npz")
    assert rom.audio is None and rom.weights[:, ARKIT_INDEX["jawOpen"]].max() > 0.8
    blink = rom.weights[:, [ARKIT_INDEX["eyeBlinkLeft"], ARKIT_INDEX["eyeBlinkRight"]]]
    assert np.corrcoef(blink.T)[0, 1] > 0.9
