"""Keyframes on the shipped denoiser: hit, joined without a jump, in any chunking, at any place."""

import numpy as np
import pytest

from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.audio_io import read_audio
from media2face.runtime.demo import demo_speech
from media2face.runtime.engine import AvatarEngine, EngineModels
from media2face.runtime.errors import InputError
from media2face.runtime.inpainting import Key, KeyTrack
from media2face.runtime.keyframes import key_latent

DIM = 5


@pytest.fixture(scope="module")
def models():
    return EngineModels.load()


@pytest.fixture(scope="module")
def speech():
    return read_audio(demo_speech()).samples[: 3 * 16_000]


def face(**weights) -> np.ndarray:
    out = np.zeros(52, np.float32)
    for name, value in weights.items():
        for key in (name, f"{name}Left", f"{name}Right"):
            if key in ARKIT_INDEX:
                out[ARKIT_INDEX[key]] = value
    return out


SMILE = face(mouthSmile=0.8, cheekSquint=0.5, browInnerUp=0.3)


def run(models, speech, keys, chunk=48_000, **head):
    engine = AvatarEngine(models)
    for time, weights in keys:
        engine.add_keyframe(time, weights, **head)
    frames = []
    for i in range(0, len(speech), chunk):
        engine.accept_waveform(speech[i : i + chunk])
        frames += engine.frames_ready()
    engine.input_finished()
    return frames + engine.frames_ready()


def weights_of(frames) -> np.ndarray:
    return np.stack([f.weights for f in frames])


@pytest.fixture(scope="module")
def plain(models, speech):
    return run(models, speech, [])


@pytest.mark.parametrize("time", [0.0, 1.0, 1.5, 1.0 + 1 / 30])
def test_a_key_is_hit_and_joined(models, speech, plain, time):
    """Within 0.001 in every weight, and no weight moves faster around it than 1.5 times what this speech asks for.

    The bound holds for the weights that the key moves: from rest to 0.8 over 8 frames takes 0.16 a frame at best.
    """
    frame = round(30 * time)
    made = weights_of(run(models, speech, [(time, SMILE)]))
    np.testing.assert_allclose(made[frame], SMILE, atol=1e-3)
    around = np.concatenate([np.zeros((1, 52)), made])[max(frame - 12, 0) : frame + 14]
    fastest = np.abs(np.diff(around, axis=0)).max()
    natural = np.abs(np.diff(weights_of(plain), axis=0)).max()
    if frame >= 8:
        assert fastest <= max(1.5 * natural, 0.2), f"{fastest:.2f} a frame, speech itself {natural:.2f}"
        np.testing.assert_allclose(made[: frame - 17], weights_of(plain)[: frame - 17], atol=1e-5)


def test_the_motion_bends_towards_the_key_before_its_neighbours_are_pulled(models, speech, plain):
    """Between 17 and 9 frames ahead no mask acts: what changes is what the network makes of the frame it is shown."""
    made = weights_of(run(models, speech, [(2.0, SMILE)]))
    bent = made[44:52] - weights_of(plain)[44:52]
    smile = ARKIT_INDEX["mouthSmileLeft"]
    assert np.abs(bent).max() > 0.01 and bent[:, smile].mean() > 0.0


def test_any_chunking_gives_the_same_frames_with_keys(models, speech):
    keys = [(1.0, SMILE), (1.4, face(jawOpen=0.5))]
    whole = weights_of(run(models, speech, keys))
    np.testing.assert_allclose(weights_of(run(models, speech, keys, chunk=1013)), whole, atol=1e-5)


def test_keys_close_to_each_other_are_both_hit(models, speech):
    other = face(jawOpen=0.5, browDown=0.6)
    made = weights_of(run(models, speech, [(1.0, SMILE), (1.1, other)]))
    np.testing.assert_allclose(made[30], SMILE, atol=1e-3)
    np.testing.assert_allclose(made[33], other, atol=1e-3)


def test_the_head_is_free_unless_it_is_given(models, speech, plain):
    free = run(models, speech, [(1.5, SMILE)])
    turns = np.stack([f.head_rotation for f in free])
    steps = np.linalg.norm(np.diff(turns, axis=0), axis=1)
    usual = np.linalg.norm(np.diff(np.stack([f.head_rotation for f in plain]), axis=0), axis=1).max()
    assert steps[40:50].max() <= 1.5 * usual
    asked = np.array([0.0, 0.1, 0.2], np.float32)
    held = run(models, speech, [(1.5, SMILE)], rotvec=asked, translation=np.zeros(3, np.float32))
    half = np.linalg.norm(asked) / 2
    np.testing.assert_allclose(np.abs(held[45].head_rotation[3]), np.cos(half), atol=1e-4)


def test_latents_of_keys_give_back_their_weights(models):
    rng = np.random.default_rng(0)
    mixed = np.where(rng.random(52) < 0.2, rng.uniform(0, 0.5, 52), 0.0).astype(np.float32)
    for wanted in (SMILE, face(jawOpen=0.6), face(eyeBlink=1.0), mixed):
        made = models.decoder.weights(key_latent(models.decoder, wanted)[None])[0]
        np.testing.assert_allclose(made, wanted, atol=1e-3)


def test_keys_that_cannot_be_used(models):
    engine = AvatarEngine(models)
    engine.add_keyframe(1.0, SMILE)
    with pytest.raises(InputError, match="two keyframes ask for frame 30"):
        engine.add_keyframe(1.0, SMILE)
    engine.accept_waveform(np.zeros(16_000, np.float32))
    engine.input_finished()
    with pytest.raises(InputError, match="beyond the end: frame 90 was asked for, the speech has 30"):
        engine.add_keyframe(3.0, SMILE)
    engine.frames_ready()
    with pytest.raises(InputError, match="must lie ahead"):
        engine.add_keyframe(0.5, SMILE)


def test_masks_reach_no_further_than_the_next_key():
    track = KeyTrack()
    free = np.zeros(DIM, bool)
    for frame in (10, 14):
        track.add(Key(frame, np.full(DIM, frame, np.float32), free, 8, 8))
    frames = np.arange(0, 30)
    mask = track.mask(frames, np.zeros(DIM, np.float32))
    pulled = mask.pull(np.zeros((30, DIM), np.float32))
    assert (pulled[10] == 10).all() and (pulled[14] == 14).all()
    assert (pulled[:3] == 0).all() and (pulled[22:] == 0).all()
    assert track.mask(np.arange(40, 50), np.zeros(DIM)) is None
    x, times = mask.enter(np.zeros((30, DIM), np.float32), np.full(30, 500), None)
    assert times[[10, 14]].tolist() == [0, 0] and times.sum() == 28 * 500 and (x[10] == 10).all()
