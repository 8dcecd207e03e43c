"""Rule visemes: closures hold, rounding starts early, amplitudes are those of speech."""

from __future__ import annotations

import numpy as np
import pytest

from media2face.data.phones import BILABIALS, PHONES
from media2face.data.rig import ICTRig
from media2face.data.visemes import (
    GAP_MM,
    REST_GAP_MM,
    VISEMES,
    Articulation,
    articulate,
    closure_gate,
    gap_mm,
    mouth_weights,
    part,
    seal,
)
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import ConfigError, InputError


def chain(*labels: str, each: float = 0.1, quiet: float = 0.5) -> list[tuple[float, float, str]]:
    times = quiet + each * np.arange(len(labels) + 1)
    inner = list(zip(times[:-1].tolist(), times[1:].tolist(), labels, strict=True))
    return [(0.0, quiet, "sil"), *inner, (times[-1], times[-1] + quiet, "sil")]


def face(phones: list, speaker: Articulation | None = None, seed: int = 0) -> np.ndarray:
    frames = int(np.ceil(phones[-1][1] * 30))
    tracks = articulate(phones, frames, speaker, np.random.default_rng(seed))
    return seal(mouth_weights(tracks, speaker), closure_gate(phones, frames), speaker)


def at(track: np.ndarray, phones: list, which: int) -> float:
    start, end, _ = phones[which]
    return float(np.interp(15 * (start + end), np.arange(len(track)), track))


def test_every_phone_has_a_viseme():
    assert set(VISEMES) == set(PHONES)
    for targets, dominance in VISEMES.values():
        assert all(0 <= t <= 1 for t in targets.values()) and all(d > 0 for d in dominance.values())


def test_gap_constants_are_the_rigs(shared_data):
    rig = ICTRig.load(shared_data)
    gaps = rig.gap_mm(np.concatenate([np.zeros((1, 52)), np.eye(52)]))
    assert gaps[0] == pytest.approx(REST_GAP_MM, abs=0.01)
    np.testing.assert_allclose(gaps[1:] - gaps[0], GAP_MM, atol=0.02)


@pytest.mark.parametrize("amplitude", [0.4, 0.8, 1.2, 2.0])
@pytest.mark.parametrize("length", [0.02, 0.04, 0.1])
def test_closures_hold_at_every_amplitude_and_length(amplitude, length):
    for i, label in enumerate(sorted(BILABIALS)):
        for shift in np.linspace(0, 1 / 30, 4):
            phones = [(s + shift * (s > 0), e + shift, p) for s, e, p in chain("a", label, "a", each=length)]
            speaker = Articulation.draw(np.random.default_rng(i)).scaled(amplitude)
            weights = face(phones, speaker)
            start, end, _ = phones[2]
            time = np.arange(len(weights)) / 30
            near = (time >= start - 1 / 30) & (time <= end + 1 / 30)
            assert gap_mm(weights)[near].min() <= REST_GAP_MM + 0.5
            assert weights.min() >= 0 and weights.max() <= 1


def test_gate_holds_a_frame_of_the_closure_and_only_there():
    phones = chain("a", "b", "a", "t", "a", each=0.12)
    gate = closure_gate(phones, 60)
    assert gate.max() == pytest.approx(1.0) and at(gate, phones, 2) > 0.95
    assert at(gate, phones, 4) == 0 and at(gate, phones, 5) == 0


def test_the_closed_jaw_is_not_shut():
    phones = chain("a", "m", "a", each=0.12)
    weights = face(phones)
    assert at(weights[:, ARKIT_INDEX["jawOpen"]], phones, 2) > 0.02
    assert at(weights[:, ARKIT_INDEX["mouthClose"]], phones, 2) > 0.02


def test_vowels_differ_as_they_should():
    gaps, widths = {}, {}
    for vowel in ("i", "e", "a", "u", "o"):
        phones = chain("t", vowel, "t", each=0.16)
        weights = face(phones)
        gaps[vowel] = at(gap_mm(weights), phones, 2)
        widths[vowel] = at(weights[:, ARKIT_INDEX["mouthPucker"]], phones, 2)
    assert gaps["a"] > gaps["e"] > gaps["i"]
    assert min(widths["u"], widths["o"]) > 0.3 > 0.1 > max(widths["i"], widths["e"], widths["a"])
    assert 8 < gaps["a"] < 17 and 1.5 < gaps["i"] < 6


def test_lips_move_before_the_sound():
    phones = chain("t", "t", "u", "t", each=0.1)
    pucker = face(phones)[:, ARKIT_INDEX["mouthPucker"]]
    onset = np.flatnonzero(pucker > 0.25 * pucker.max())[0] / 30
    assert 0.03 <= phones[3][0] - onset <= 0.16


def test_labiodentals_tuck_the_lip_and_do_not_close():
    phones = chain("a", "f", "a", each=0.12)
    weights = face(phones)
    assert at(weights[:, ARKIT_INDEX["mouthRollLower"]], phones, 2) > 0.25
    assert REST_GAP_MM < at(gap_mm(weights), phones, 2) < 4.5


def test_silence_is_rest():
    weights = face([(0.0, 2.0, "sil")])
    assert np.abs(weights).max() == 0


def test_part_opens_a_mouth_that_an_expression_shuts():
    weights = np.zeros((3, 52))
    weights[:, ARKIT_INDEX["mouthShrugLower"]] = 0.3
    opened = part(weights, np.array([4.0, 20.0, 4.0]), np.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(gap_mm(opened)[:2], [4.0, 20.0], atol=0.01)
    np.testing.assert_array_equal(opened[2], weights[2])


def test_bad_phones_and_settings_are_refused():
    with pytest.raises(InputError, match="PHONES"):
        articulate([(0.0, 0.1, "qq")], 10)
    with pytest.raises(InputError, match="order"):
        articulate([(0.5, 0.6, "a"), (0.1, 0.2, "a")], 10)
    with pytest.raises(InputError, match="order"):
        articulate([(0.0, float("nan"), "a")], 10)
    with pytest.raises(ConfigError, match="amplitude"):
        Articulation(amplitude=9)
    with pytest.raises(ConfigError, match="closed_gap_mm"):
        Articulation(closed_gap_mm=3)
