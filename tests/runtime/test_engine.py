"""The whole chain on the shipped weights, without ROS: streaming equals offline, verbs, and odd speech."""

import tracemalloc

import numpy as np
import pytest

from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.audio_io import read_audio
from media2face.runtime.clock import frame_count
from media2face.runtime.demo import demo_speech
from media2face.runtime.engine import AvatarEngine, EngineModels
from media2face.runtime.errors import AudioError, InputError
from media2face.runtime.offline import animate
from media2face.runtime.sampler import SamplerConfig

JAW = ARKIT_INDEX["jawOpen"]


@pytest.fixture(scope="module")
def models():
    return EngineModels.load()


@pytest.fixture(scope="module")
def speech():
    return read_audio(demo_speech()).samples[: 5 * 16_000 + 321]


@pytest.fixture(scope="module")
def whole(models, speech):
    return animate(speech, models=models, seed=3, config=models.sampler.config)


def stream(models, samples, sizes, seed=3):
    engine = AvatarEngine(models, seed)
    frames, at = [], 0
    while at < len(samples):
        for size in sizes:
            engine.accept_waveform(samples[at : at + size])
            at += size
            frames += engine.frames_ready()
    engine.input_finished()
    return frames + engine.frames_ready()


@pytest.mark.parametrize("sizes", [[160], [320, 1], [1013, 77, 5000], [16_000]])
def test_streaming_equals_offline(models, speech, whole, sizes):
    frames = stream(models, speech, sizes)
    assert [f.index for f in frames] == list(range(frame_count(len(speech))))
    np.testing.assert_allclose(np.stack([f.weights for f in frames]), whole.weights, atol=1e-5)
    np.testing.assert_allclose(np.stack([f.head_rotation for f in frames]), whole.head_rotation, atol=1e-5)
    np.testing.assert_allclose(np.stack([f.head_translation for f in frames]), whole.head_translation, atol=1e-5)
    np.testing.assert_allclose(np.stack([f.latent for f in frames]), whole.latents, atol=1e-4)


def test_a_whole_file_takes_fewer_passes_and_moves_as_a_stream_does(models, speech, whole):
    passes, run = [], models.sampler.model.run
    models.sampler.model.run = lambda *args, **options: passes.append(1) or run(*args, **options)
    try:
        made = animate(speech, models=models, seed=3)
    finally:
        models.sampler.model.run = run
    assert len(passes) == -(-len(whole.weights) // models.sampler.whole_config.hop) < len(whole.weights)
    jaws = made.weights[:, JAW], whole.weights[:, JAW]
    assert np.corrcoef(*jaws)[0, 1] > 0.9


def test_a_performance_is_what_its_fields_say(whole, speech):
    frames = frame_count(len(speech))
    assert whole.fps == 30
    assert whole.names == ARKIT_NAMES
    assert whole.weights.shape == (frames, 52)
    assert whole.weights.dtype == np.float32
    assert whole.weights.min() >= 0 and whole.weights.max() <= 1
    np.testing.assert_allclose(np.linalg.norm(whole.head_rotation, axis=1), 1, atol=1e-5)
    assert (np.sum(whole.head_rotation[1:] * whole.head_rotation[:-1], axis=1) > 0).all()
    assert np.abs(whole.head_translation).max() < 0.1


def test_the_mouth_moves_with_speech_and_rests_in_silence(models, whole):
    silence = animate(np.zeros(3 * 16_000, np.float32), models=models)
    assert whole.weights[:, JAW].std() > 3 * silence.weights[15:, JAW].std()
    assert silence.weights[15:, JAW].max() < 0.1


def test_seed_and_style_change_the_face_and_a_seed_repeats_it(models, speech, whole):
    again = animate(speech, models=models, seed=3, config=models.sampler.config)
    np.testing.assert_array_equal(again.weights, whole.weights)
    assert np.abs(animate(speech, models=models, seed=4).weights - whole.weights).max() > 0.05
    happy = animate(speech, style="very happy", models=models, seed=3)
    smile = ARKIT_INDEX["mouthSmileLeft"]
    assert happy.weights[:, smile].mean() > whole.weights[:, smile].mean() + 0.1


def test_a_style_can_be_set_in_the_middle(models, speech):
    engine = AvatarEngine(models)
    engine.accept_waveform(speech)
    engine.set_style("very sad", start=3.0, ramp=0.2)
    engine.input_finished()
    frames = engine.frames_ready()
    plain = animate(speech, models=models, config=models.sampler.config)
    np.testing.assert_allclose(frames[30].weights, plain.weights[30], atol=1e-5)
    late = np.stack([f.weights for f in frames])[110:]
    assert np.abs(late - plain.weights[110:]).max() > 0.1


def test_a_style_leaves_no_trace_of_the_one_before_and_eases_in(models, speech):
    """Happy, then sad from 2 s on: within a second the smile is gone, and nothing moves faster than speech does."""
    smile, frown = ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["mouthFrownLeft"]
    made = animate(speech[: 4 * 16_000], style="0:very happy 2~0.4:very sad", models=models).weights
    assert made[45:60, smile].mean() > 0.3 and made[85:, smile].mean() < 0.15
    assert made[85:, frown].mean() > made[45:60, frown].mean() + 0.15
    steps = np.abs(np.diff(made, axis=0)).max(axis=1)
    assert steps[58:74].max() <= 1.2 * np.delete(steps, range(58, 74)).max()


def test_a_keyframe_is_shown(models, speech):
    engine = AvatarEngine(models)
    key = np.zeros(52, np.float32)
    key[ARKIT_INDEX["browInnerUp"]] = 0.8
    engine.add_keyframe(2.0, key)
    engine.accept_waveform(speech)
    engine.input_finished()
    frame = engine.frames_ready()[60]
    np.testing.assert_allclose(frame.weights, key, atol=1e-3)


def test_interrupt_ends_at_rest_and_reset_starts_anew(models, speech, whole):
    engine = AvatarEngine(models, seed=3)
    engine.accept_waveform(speech)
    out = engine.frames_ready()
    eased = engine.interrupt()
    assert eased[0].revision > out[-1].revision
    assert len(eased) == 6
    assert eased[-1].weights[JAW] < 0.02
    assert engine.finished
    engine.reset()
    engine.accept_waveform(speech)
    engine.input_finished()
    np.testing.assert_allclose(np.stack([f.weights for f in engine.frames_ready()]), whole.weights, atol=1e-5)


def test_one_sample_is_one_frame(models):
    assert animate(np.zeros(1, np.float32), models=models).weights.shape == (1, 52)


def test_no_samples_are_an_error(models):
    with pytest.raises(AudioError, match="no samples"):
        animate(np.zeros(0, np.float32), models=models)


def test_stereo_arrays_are_refused(models):
    with pytest.raises(InputError, match="mono"):
        AvatarEngine(models).accept_waveform(np.zeros((100, 2), np.float32))


def test_nan_in_live_sound_is_silenced_and_counted(models, speech):
    engine = AvatarEngine(models)
    broken = speech.copy()
    broken[8000:8100] = np.nan
    engine.accept_waveform(broken)
    engine.input_finished()
    frames = engine.frames_ready()
    assert all(np.isfinite(f.weights).all() for f in frames)
    assert engine.speech.bad_samples == 100


def test_memory_grows_little_with_length(models):
    """An hour may take 300 MB more than a minute: 5 MB for each minute more."""
    config = SamplerConfig(steps=1)
    noise = (0.05 * np.random.default_rng(0).standard_normal(16_000 * 60)).astype(np.float32)

    def peak(seconds):
        tracemalloc.start()
        animate(noise[: 16_000 * seconds], models=models, config=config)
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return top / 1e6

    assert (peak(60) - peak(15)) / 0.75 < 5.0
