"""A face that listens, on the shipped networks: alive, in order, joined to speech on both sides, steerable."""

from __future__ import annotations

import numpy as np
import pytest
from live_clock import START, run

from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.changes import StyleChange
from media2face.runtime.clock import FPS
from media2face.runtime.engine import EngineModels
from media2face.runtime.idle import listener_beside, silence_feature
from media2face.runtime.live import LiveMotion
from media2face.runtime.presentation import NS
from media2face.runtime.sampler import MotionSampler
from media2face.runtime.sources import idle_id, is_idle, utterance_id

MOUTH = [i for n, i in ARKIT_INDEX.items() if n.startswith(("jaw", "mouthFunnel", "mouthPucker"))]


@pytest.fixture(scope="module")
def models():
    return EngineModels.load()


@pytest.fixture(scope="module")
def silence(models):
    return silence_feature(models.speech)


@pytest.fixture
def live(models, silence):
    return LiveMotion(models.sampler, horizon=0.5, silence=silence, listener=listener_beside(models.sampler))


def say(live, models, name, seconds, start):
    samples = 0.3 * np.random.default_rng(1).standard_normal(round(seconds * 16_000)).astype(np.float32)
    stream = models.speech.stream()
    stream.accept_waveform(samples)
    stream.input_finished()
    live.accept(name, START + round(start * NS), *stream.read())
    live.finish(name, len(samples))


def table(frames):
    return np.stack([np.concatenate([f.latent, f.head_rotvec, f.head_translation]) for f in frames])


def test_ids_are_none_that_speech_can_have():
    assert is_idle(idle_id()) and not is_idle(utterance_id("idle")) and not is_idle("idle-1")


def test_the_denoiser_listens_where_it_fits_and_else_the_sampler_itself(models, tmp_path):
    assert listener_beside(models.sampler).model.name == "denoiser" and models.sampler.model.name == "student"
    copy = tmp_path / "student.onnx"
    copy.write_bytes(models.sampler.model.path.read_bytes())
    alone = MotionSampler(tmp_path)
    assert listener_beside(alone) is alone


def test_without_silence_nothing_moves_between_utterances(models):
    still = LiveMotion(models.sampler)
    assert still.wait(START) is None and not run(still, 0.0, 1.0)


def test_a_listening_face_lives_and_its_mouth_rests(live, models):
    """Ten seconds: every frame once, in time; eyes, brows and head move; the jaw does not."""
    made = run(live, 0.0, 10.0, 50)
    frames = [f for *_, f in made]
    assert [f.index for f in frames] == list(range(len(frames))) and len(frames) >= 9.9 * FPS
    assert len({u for _, u, _ in made}) == 1 and is_idle(made[0][1])
    assert live.wait(START + 10 * NS) is not None, "it goes on"
    weights = models.decoder.weights(np.stack([f.latent for f in frames]))
    assert weights[15:, ARKIT_INDEX["jawOpen"]].max() < 0.15
    turns = np.stack([f.head_rotvec for f in frames])
    assert turns.std(axis=0).max() > 2e-3, "the head is never quite still, rad"
    eyes = weights[:, [i for n, i in ARKIT_INDEX.items() if n.startswith("eye")]]
    assert eyes.std(axis=0).max() > 0.03
    second = weights[:, ARKIT_INDEX["eyeBlinkLeft"]]
    assert second.max() > 0.5, "it blinks within ten seconds"


def test_speech_begins_where_listening_is_and_listening_where_speech_ends(live, models):
    run(live, 0.0, 2.0)
    say(live, models, "a", 1.0, 2.3)
    made = run(live, 2.0, 5.0)
    order = [u for _, u, _ in made]
    first, last = order.index("a"), len(order) - 1 - order[::-1].index("a")
    assert order[first : last + 1] == ["a"] * 30, "listening does not cut into speech"
    assert is_idle(order[-1])
    spoken, after = [f for _, u, f in made if u == "a"], [f for *_, f in made[last + 1 :]]
    both = table(spoken + after)
    steps = np.linalg.norm(np.diff((both - models.sampler.mean) / models.sampler.std, axis=0), axis=1)
    assert steps[29] <= 1.5 * np.delete(steps, 29).max(), "no jump where speech ends"
    assert after[0].index == 0


def test_the_joint_of_listening_and_speech_is_no_jump(live, models):
    listened = run(live, 0.0, 2.0)
    say(live, models, "a", 1.0, 2.3)
    made = listened + run(live, 2.0, 3.5)
    begin = made[0][0]
    idle = [f for _, u, f in made if is_idle(u)]
    zero = START + NS // 6  # when the first frame of listening is seen
    assert begin == START
    cut = round((START + 2.3 * NS - zero) / NS * FPS)
    assert len(idle) >= cut, "listening reaches up to the first frame of speech"
    spoken = [f for _, u, f in made if u == "a"]
    states = (table(idle[:cut] + spoken) - models.sampler.mean) / models.sampler.std
    steps = np.linalg.norm(np.diff(states, axis=0), axis=1)
    assert steps[cut - 1] <= 1.5 * np.delete(steps, cut - 1).max()


def test_an_interrupt_eases_to_rest_and_the_face_listens_from_there(live, models):
    say(live, models, "a", 3.0, 0.3)
    run(live, 0.0, 1.0)
    now = START + NS
    utterance, eased = live.interrupt(now)
    assert utterance == "a" and len(eased) == 6
    made = run(live, 1.0, 3.0)
    assert made and all(is_idle(u) for _, u, _ in made)
    states = (table(eased + [f for *_, f in made]) - models.sampler.mean) / models.sampler.std
    steps = np.linalg.norm(np.diff(states, axis=0), axis=1)
    assert steps[5] <= 1.5 * steps.max() and steps[8:].max() > 0.0
    assert np.abs(table(eased)[-1] - table([f for *_, f in made])[30:]).max() > 0.01, "not frozen"
    assert live.speaking(START + 2 * NS) is None and live.interrupt(START + 2 * NS) is None


def test_a_style_reaches_a_listening_face_soon(live, models):
    run(live, 0.0, 2.0)
    happy = models.style.encode_text("very happy").vector
    live.set_style(StyleChange(happy), START + 2 * NS + NS // 6)
    made = run(live, 2.0, 4.0)
    assert made[0][2].revision == 1, "frames that were sampled ahead are taken back"
    plain = LiveMotion(models.sampler, horizon=0.5, silence=live._pauses._silence, listener=live._pauses._sampler)
    other = run(plain, 0.0, 4.0)
    weights = [models.decoder.weights(np.stack([f.latent for *_, f in m[-20:]])).mean(axis=0) for m in (made, other)]
    assert (weights[0] - weights[1])[ARKIT_INDEX["mouthSmileLeft"]] > 0.05
