"""The sampler on the shipped denoiser: chunking, seeds, styles, keyframes, barge-in and bad input."""

import numpy as np
import pytest

from media2face.runtime.errors import ConfigError, InputError, ModelError
from media2face.runtime.sampler import MotionSampler, SamplerConfig

SAMPLES = 48_000  # three seconds


@pytest.fixture(scope="module")
def sampler():
    return MotionSampler()


@pytest.fixture(scope="module")
def features(sampler):
    rng = np.random.default_rng(0)
    walk = rng.standard_normal((170, sampler.audio_dim)).astype(np.float32)
    return 0.5 * walk


def run(stream, features, chunks, samples=SAMPLES):
    frames, first = [], 0
    for n in chunks:
        stream.accept_features(first, features[first : first + n])
        first += n
        frames += stream.frames_ready()
    stream.accept_features(first, features[first:])
    stream.input_finished(samples)
    return frames + stream.frames_ready()


def table(frames):
    return np.stack([np.concatenate([f.latent, f.head_rotvec, f.head_translation]) for f in frames])


def test_any_chunking_gives_the_same_frames(sampler, features):
    whole = run(sampler.stream(3), features, [])
    assert [f.index for f in whole] == list(range(90))
    for chunks in ([1] * 150, [7] * 20, [64, 3, 50]):
        np.testing.assert_allclose(table(run(sampler.stream(3), features, chunks)), table(whole), atol=1e-5)


def test_seeds_choose_among_motions(sampler, features):
    a, b = table(run(sampler.stream(1), features, [])), table(run(sampler.stream(2), features, []))
    assert np.abs(a - b).max() > 1e-3


def test_gaps_are_filled_and_counted_and_duplicates_ignored(sampler, features):
    stream = sampler.stream(0)
    stream.accept_features(0, features[:20])
    stream.accept_features(10, features[10:20])
    assert stream.gaps == 0
    stream.accept_features(25, features[25:])
    assert stream.gaps == 5
    stream.input_finished(SAMPLES)
    assert len(stream.frames_ready()) == 90


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 7), np.float32), np.zeros(192, np.float32), np.full((3, 192), np.nan, np.float32)]
)
def test_bad_features_are_refused(sampler, bad):
    with pytest.raises(InputError):
        sampler.stream(0).accept_features(0, bad)


def test_a_jump_of_more_than_ten_seconds_is_refused(sampler, features):
    with pytest.raises(InputError, match="jump"):
        sampler.stream(0).accept_features(600, features)


def test_a_style_set_behind_takes_frames_back_under_a_higher_revision(sampler, features):
    stream = sampler.stream(0)
    stream.accept_features(0, features[:120])
    out = stream.frames_ready()
    last = out[-1].index
    vector = np.eye(sampler.style_dim, dtype=np.float32)[0]
    touched = stream.set_style(vector, at_frame=last - 5, ramp_s=0.1)
    assert last - 7 <= touched <= last - 5
    stream.accept_features(120, features[120:])
    stream.input_finished(SAMPLES)
    again = stream.frames_ready()
    assert again[0].index == touched
    assert again[0].revision == out[-1].revision + 1
    assert again[-1].index == 89
    before = {f.index: f for f in out}
    assert np.abs(again[-1].latent - before[last].latent).max() > 0


def test_rewinding_twice_never_reads_forgotten_frames(sampler, features):
    stream = sampler.stream(0)
    stream.accept_features(0, features)
    stream.frames_ready()
    end = stream.next_frame
    first = stream.set_style(None, at_frame=0)
    assert first >= end - 32
    second = stream.set_style(None, at_frame=0)
    assert second >= first - 2


def test_interrupt_eases_to_rest(sampler, features):
    stream = sampler.stream(0)
    stream.accept_features(0, features)
    out = stream.frames_ready()
    eased = stream.interrupt(at_frame=out[-1].index - 3)
    assert eased[0].revision > out[-1].revision
    assert stream.finished
    rest = sampler.rest * sampler.std + sampler.mean
    np.testing.assert_allclose(table(eased)[-1], rest, atol=1e-4)
    assert not stream.frames_ready()
    stream.reset()
    assert len(run(stream, features, [])) == 90


def test_memory_of_a_long_utterance_is_bounded(sampler):
    stream = sampler.stream(0, SamplerConfig(steps=1))
    block = np.zeros((50, sampler.audio_dim), np.float32)
    for i in range(40):
        stream.accept_features(50 * i, block)
        stream.frames_ready()
    assert len(stream.features) < 250


def test_guidance_changes_with_the_next_hop_and_only_from_there(sampler, features):
    """s_A and s_P are read hop by hop: what was sampled before stays."""
    vector = np.eye(sampler.style_dim, dtype=np.float32)[0]
    plain, turned = sampler.stream(0), sampler.stream(0)
    for stream in (plain, turned):
        stream.set_style(vector)
        stream.accept_features(0, features)
        stream.input_finished(SAMPLES)
    first = table(plain.frames_ready(5)), table(turned.frames_ready(5))
    np.testing.assert_array_equal(*first)
    turned.adjust(guidance_audio=1.5, guidance_style=2.0, steps=3)
    after = table(plain.frames_ready(1)), table(turned.frames_ready(1))
    assert np.abs(after[0] - after[1]).max() > 1e-3
    with pytest.raises(ConfigError, match="guidance_audio must lie within"):
        turned.adjust(guidance_audio=50.0)


def test_a_motion_goes_on_from_where_another_ended(sampler, features):
    """The first step from the old motion's last frame is no larger than the new one's own steps."""
    one = sampler.stream(0)
    run(one, features, [], 16_000)
    end = one.states_before(30)
    assert len(end) >= 32
    two = sampler.stream(1)
    two.go_on_from(end)
    states = (table(run(two, features, [])) - sampler.mean) / sampler.std
    steps = np.abs(np.diff(np.concatenate([end[-1:], states]), axis=0)).max(axis=1)
    assert steps[0] <= 1.5 * steps[1:].max()
    rested = (table(run(sampler.stream(1), features, [])) - sampler.mean) / sampler.std
    assert np.linalg.norm(states[0] - end[-1]) < np.linalg.norm(rested[0] - end[-1])
    with pytest.raises(InputError, match="before frame 0"):
        two.go_on_from(end)


def test_what_was_sampled_ahead_can_be_cut_off(sampler, features):
    stream = sampler.stream(0)
    stream.accept_features(0, features)
    states = (table(stream.frames_ready(20 // stream.config.hop)) - sampler.mean) / sampler.std
    np.testing.assert_allclose(stream.states_before(15)[-1], states[14], atol=1e-4)
    np.testing.assert_allclose(stream.states_before(24)[-4:], np.tile(states[19], (4, 1)), atol=1e-4)


@pytest.mark.parametrize(
    "bad",
    [{"steps": 0}, {"steps": 10_000}, {"hop": 0}, {"temperature": -1}, {"past": 1000}, {"guidance_style": 11}],
)
def test_settings_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match="must lie within"):
        SamplerConfig(**bad)


def test_other_encoders_are_refused():
    with pytest.raises(ModelError, match="trained with speech"):
        MotionSampler(speech_fingerprint="0000000000000000")
