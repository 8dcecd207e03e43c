"""The range-of-motion set: people differ by rules that vanish for the mean identity, and nothing passes through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media2face.data.correctives import EYE_RADIUS, RULES, keep_contact
from media2face.data.expressions import ExpressionSampler
from media2face.data.personal_shapes import MEASURES, company_pairs
from media2face.data.range_of_motion import RangeOfMotion, sample_identities
from media2face.data.rig import ICTRig
from media2face.data.rom_maps import MapMaker, RomMaps, make
from media2face.models.gnpfa.contact import LipContact
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import InputError


@pytest.fixture(scope="module")
def rom(shared_data: Path) -> RangeOfMotion:
    return RangeOfMotion(ICTRig.load(shared_data))


@pytest.fixture(scope="module")
def people(rom: RangeOfMotion) -> list:
    return list(rom.people(5, "test"))


def face(**shapes: float) -> np.ndarray:
    out = np.zeros((1, len(ARKIT_NAMES)), np.float32)
    for name, value in shapes.items():
        for side in ("",) if name in ARKIT_INDEX else ("Left", "Right"):
            out[0, ARKIT_INDEX[name + side]] = value
    return out


def test_splits_share_nobody_and_repeat():
    train, test = sample_identities(30, "train"), sample_identities(30, "test")
    assert np.array_equal(train[:10], sample_identities(10, "train"))
    assert np.abs(train[:, None] - test[None]).max(axis=2).min() > 1.0
    assert np.abs(train).max() <= 2.5
    with pytest.raises(InputError, match="split"):
        sample_identities(3, "holdout")


def test_the_mean_identity_keeps_the_rig(rom: RangeOfMotion):
    mean = rom.sampled(None)
    assert np.allclose(mean.mixing, np.eye(52), atol=1e-5)
    assert np.allclose(mean.turning, np.eye(3), atol=1e-5)
    for name in ("mouthSmileLeft", "jawOpen", "browInnerUp"):
        single = face(**{name: 1.0})
        assert 10 * np.abs(rom.offsets(mean, single) - rom.linear(single)).max() < 0.5, name
    assert np.abs(rom.offsets(mean, face())).max() < 1e-4


def test_people_differ_in_strength_side_and_direction(rom: RangeOfMotion, people: list):
    mixing = np.stack([p.mixing for p in people])
    diagonal = np.diagonal(mixing, axis1=1, axis2=2)
    assert diagonal.std(axis=0).mean() > 0.05 and diagonal.min() > 0.3 and diagonal.max() < 2.5
    left, right = (diagonal[:, ARKIT_INDEX[f"mouthSmile{s}"]] for s in ("Left", "Right"))
    assert np.abs(left - right).max() > 0.03
    for taker, taken in company_pairs():
        assert np.abs(mixing[:, taker, taken]).max() > 0
    turned = np.stack([p.turning for p in people])
    assert 0.01 < np.abs(turned - np.eye(3)).mean() < 0.1
    assert np.allclose(np.linalg.det(turned), 1.0, atol=1e-3)


def test_personality_is_a_smooth_function_of_the_neutral(rom: RangeOfMotion):
    identity = sample_identities(1, "test")[0]
    first, near = rom.sampled(identity), rom.sampled(identity + np.float32(0.01))
    weights = face(mouthSmile=0.8, jawOpen=0.4)
    change = 10 * np.linalg.norm(rom.offsets(first, weights) - rom.offsets(near, weights), axis=-1)
    assert change.max() < 0.3
    again = rom.person(first.neutral, first.eye_centres)
    assert np.array_equal(again.mixing, first.mixing)
    assert rom.shapes.measures(first.neutral[rom.landmarks][None]).shape == (1, len(MEASURES))


def test_closed_lips_close_and_pressed_lips_do_not_cross(rom: RangeOfMotion, people: list):
    weights = np.concatenate([face(jawOpen=0.4, mouthClose=v) for v in (0.35, 0.5)])
    mean = rom.rig.neutral[rom.vertices]
    shared = rom.gaps(mean + rom.linear(weights))[0] - rom.gaps(mean[None])
    assert shared.max() < 0, "closed on the mean identity"
    for person in people:
        rest = rom.gaps(person.neutral[None])[0]
        shut, pressed = rom.gaps(person.neutral + rom.offsets(person, weights))
        assert shut == pytest.approx(np.maximum(rest + shared[0], np.minimum(rest, 0)), abs=0.02), "cm"
        assert (pressed >= np.minimum(rest, 0) - 1e-3).all()
        crossed = rom.gaps(person.neutral + rom.offsets(person, weights[1:], seal=False))[0]
        assert crossed.min() < -0.2
        bulge = rom.offsets(person, weights)[:, rom.landmarks[[51, 57]], 2]
        assert (bulge[1] - rom.blendshapes(person, weights)[1, rom.landmarks[[51, 57]], 2]).max() > 0.02


def test_a_blink_shuts_every_eye_and_lids_stay_outside(rom: RangeOfMotion, people: list):
    linear = rom.rig.neutral[rom.vertices] + rom.linear(face(eyeBlink=1.0))[0]
    assert _deeper(rom, rom.sampled(None), linear) > 0.04, "cm: the rig's own blink passes through the eye"
    for person in (rom.sampled(None), *people):
        shut = person.neutral + rom.offsets(person, face(eyeBlink=1.0))
        assert np.abs(rom.lid_gaps(shut)).max() < 0.06
        twice = person.neutral + rom.offsets(person, face(eyeBlink=1.0, eyeSquint=1.0))
        assert rom.lid_gaps(twice).min() > -0.05
        assert _deeper(rom, person, shut[0]) < 0.03, "cm"


def _deeper(rom: RangeOfMotion, person, positions: np.ndarray) -> float:
    """How much further skin lies within an eyeball than at rest, at the most, cm."""
    deeper = []
    for skin, centre in zip(rom.lids.skin, person.eye_centres, strict=True):
        rest, moved = (EYE_RADIUS - np.linalg.norm(p[skin] - centre, axis=1) for p in (person.neutral, positions))
        deeper.append((moved - np.maximum(rest, 0)).max())
    return max(deeper)


def test_correctives_need_all_their_shapes(rom: RangeOfMotion):
    for k, rule in enumerate(RULES):
        full = rom.combinations.activations(face(**dict.fromkeys(rule.of, 1.0)))[0]
        assert full[k] == pytest.approx(1.0)
        for name in rule.of:
            without = rom.combinations.activations(face(**{n: 1.0 for n in rule.of if n != name}))[0]
            assert without[k] == 0
    assert 1 < 10 * np.linalg.norm(rom.combinations.fields, axis=2).max(axis=1).mean() < 5


def test_every_activation_is_a_product_of_two_readings(rom: RangeOfMotion):
    weights = np.random.default_rng(4).random((50, 52)).astype(np.float32)

    def reading(part: tuple) -> np.ndarray:
        columns, scale, shift = part
        return scale * weights[:, columns].mean(axis=1) + shift

    made = np.stack([reading(a) * reading(b) for a, b in rom.combinations.products()], axis=1)
    np.testing.assert_allclose(made, rom.combinations.activations(weights), atol=1e-5)


def test_contact_carries_over_only_near_contact():
    rest, own = np.full(3, 0.08), np.full((1, 3), 0.05)
    assert keep_contact(own, np.full((1, 3), 0.08), rest, rest) == pytest.approx(np.full((1, 3), -0.03))
    assert np.abs(keep_contact(own, np.full((1, 3), 0.5), rest, rest)).max() == 0


def test_bad_neutrals_and_weights_are_refused(rom: RangeOfMotion, people: list):
    with pytest.raises(InputError, match="vertices on the map"):
        rom.person(people[0].neutral[:-1])
    broken = people[0].neutral.copy()
    broken[3] = np.nan
    with pytest.raises(InputError, match="NaN"):
        rom.person(broken)
    with pytest.raises(InputError, match="52"):
        rom.offsets(people[0], np.zeros((2, 51)))


def test_sets_are_written_read_and_rounded_trip(rom: RangeOfMotion, shared_data: Path, tmp_path: Path):
    make(shared_data, tmp_path, "val", 2, 4, None)
    read = RomMaps.open(tmp_path)
    assert read.offsets.shape == (8, 3, 64, 80) and read.atlas == rom.atlas.fingerprint
    person = rom.sampled(sample_identities(2, "val")[1])
    true = rom.offsets(person, read.weights[4:].astype(np.float32))
    error = 10 * np.linalg.norm(rom.atlas.to_mesh(read.offsets[4:].astype(np.float32)) - true, axis=-1)
    assert error.mean() < 0.15
    (tmp_path / "set.json").unlink()
    with pytest.raises(InputError, match="finished"):
        RomMaps.open(tmp_path)


def test_the_loss_parts_lips_as_the_mesh_does(rom: RangeOfMotion, people: list):
    torch = pytest.importorskip("torch")
    maker = MapMaker(rom)
    person, weights = people[0], face(jawOpen=0.4, mouthClose=0.5)
    contact = LipContact(torch.from_numpy(maker.lips.toarray()).float(), torch.from_numpy(maker.seal))
    crossed, met = (rom.atlas.to_map(rom.offsets(person, weights, seal=s)) for s in (False, True))
    made = contact(torch.from_numpy(crossed), torch.from_numpy(maker.lip_heights(person))[None]).numpy()
    lips = rom.landmarks[48:68]
    gap = np.abs(rom.atlas.to_mesh(made - met)[:, lips])
    assert 10 * gap.max() < 0.5
    assert 10 * np.abs(rom.atlas.to_mesh(made - crossed)[:, lips]).max() > 1.0


def test_tracked_clips_join_the_mixture(shared_data: Path, tmp_path: Path):
    from media2face.data.clips import MotionClip

    weights = np.zeros((40, 52), np.float32)
    weights[:, ARKIT_INDEX["jawOpen"]] = 0.77
    MotionClip(weights=weights, speaker="x", source="grid", split="train", has_audio=False).save(tmp_path / "a.npz")
    draw = ExpressionSampler(shared_data, "train", 1, tmp_path)
    assert np.allclose(draw.sample(5, "tracked")[:, ARKIT_INDEX["jawOpen"]], 0.77)
    share = (np.abs(draw.sample(2000)[:, ARKIT_INDEX["jawOpen"]] - 0.77) < 1e-6).mean()
    assert 0.15 < share < 0.25
    with pytest.raises(InputError, match="'test'"):
        ExpressionSampler(shared_data, "test", 1, tmp_path)
