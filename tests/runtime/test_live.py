"""Motion on time, on the shipped denoiser: order, horizon, barge-in, restarts and catching up."""

from __future__ import annotations

import numpy as np
import pytest
from live_clock import START, run

from media2face.runtime.changes import KeyChange, StyleChange
from media2face.runtime.errors import ConfigError, InputError
from media2face.runtime.live import LiveMotion
from media2face.runtime.presentation import NS, frame_offset
from media2face.runtime.sampler import MotionSampler, SamplerConfig
from media2face.runtime.sessions import weights_folder


@pytest.fixture(scope="module")
def sampler() -> MotionSampler:
    if not (weights_folder() / "denoiser.onnx").is_file():
        pytest.skip("the denoiser has no weights yet")
    return MotionSampler(config=SamplerConfig(steps=2))


@pytest.fixture
def live(sampler) -> LiveMotion:
    return LiveMotion(sampler, horizon=0.5)


def features(live, first, count):
    rng = np.random.default_rng(first)
    return rng.standard_normal((count, live.stream.sampler.audio_dim)).astype(np.float32)


def say(live, name, seconds, start=START, first=0):
    live.accept(name, start, first, features(live, first, round(seconds * 50) + 8 - first))
    live.finish(name, round(seconds * 16_000))


def test_every_frame_once_and_never_further_ahead_than_the_horizon(live):
    say(live, "a", 2.0)
    made = run(live, -1.0, 3.0)
    assert [f.index for _, _, f in made] == list(range(60))
    ahead = [(START + frame_offset(f.index) - now) / NS for now, _, f in made]
    assert max(ahead) <= 0.5 + 1 / 15 and min(ahead) > 0.3
    assert not live.counts


def test_utterances_follow_each_other(live):
    say(live, "a", 1.0)
    say(live, "b", 1.0, START + NS)
    made = run(live, -1.0, 3.0)
    assert [(u, f.index) for _, u, f in made] == [("a", k) for k in range(30)] + [("b", k) for k in range(30)]


def test_a_later_speaker_cuts_off_an_unfinished_one(live):
    live.accept("a", START, 0, features(live, 0, 200))
    say(live, "b", 1.0, START + NS)
    made = run(live, -1.0, 3.0)
    last_a = max(f.index for _, u, f in made if u == "a")
    assert 28 <= last_a <= 32
    assert [f.index for _, u, f in made if u == "b"] == list(range(30))


def test_joining_in_the_middle_keeps_absolute_frames(live):
    say(live, "a", 4.0, first=101)
    made = run(live, 0.0, 5.0)
    assert [f.index for _, _, f in made] == list(range(63, 120))


def test_a_gap_in_the_features_is_joined_behind(live):
    live.accept("a", START, 0, features(live, 0, 50))
    live.accept("a", START, 150, features(live, 150, 60))
    made = run(live, 0.0, 5.0)
    frames = [f.index for _, _, f in made]
    assert frames[0] >= 90 and live.counts["joined behind a gap"] == 1


def test_barge_in_stops_what_is_heard_and_drops_what_waits(live):
    say(live, "a", 1.0)
    say(live, "b", 1.0, START + NS)
    run(live, -1.0, 0.8)
    assert live.utterance == "b", "b is being sampled while a is still heard"
    now = START + 8 * NS // 10
    assert live.speaking(now) == "a"
    utterance, frames = live.interrupt(now)
    assert utterance == "a" and frames[0].revision > 0
    assert abs(frames[0].index - 24) <= 2
    assert live.interrupt(now) is None and live.waiting() == []


def test_nothing_to_interrupt_after_the_end(live):
    say(live, "a", 1.0)
    run(live, -1.0, 2.0)
    assert live.speaking(START + NS // 2) == "a"
    assert live.speaking(START + 2 * NS) is None


def test_a_style_takes_back_only_what_is_not_yet_due(live):
    say(live, "a", 2.0)
    run(live, -1.0, 0.5)
    soon = START + 7 * NS // 10
    live.set_style(StyleChange(np.ones(live.stream.sampler.style_dim, np.float32), 1.0), soon)
    made = run(live, 0.5, 3.0)
    assert made[0][2].revision == 1
    assert abs(made[0][2].index - 21) <= 2


def test_a_style_for_a_later_utterance_waits_for_it(live):
    say(live, "a", 1.0)
    change = StyleChange(np.ones(live.stream.sampler.style_dim, np.float32), 1.0, "b", 0, 0.0)
    live.set_style(change, START)
    assert all(f.revision == 0 for _, _, f in run(live, -1.0, 1.0))
    plain = LiveMotion(live.stream.sampler, horizon=0.5)
    for one in (live, plain):
        say(one, "b", 1.0, START + 2 * NS)
    styled, without = (run(one, 1.0, 4.0) for one in (live, plain))
    assert not np.allclose(styled[5][2].latent, without[5][2].latent)


def test_falling_behind_takes_fewer_steps_then_leaves_frames_out(live):
    live.accept("a", START, 0, features(live, 0, 400))
    live.set_style(StyleChange(np.ones(live.stream.sampler.style_dim, np.float32), 1.0, "a", 150), START)
    latent = np.ones(live.stream.sampler.latent_dim, np.float32)
    live.add_keyframe(KeyChange(latent, frame=100), START)
    late = START + 2 * NS
    result = live.step(late)
    assert result is not None and live.counts["hops with fewer steps"] == 1
    made = run(live, 2.0, 2.2)
    assert live.counts["frames left out to catch up"] > 0
    assert min(f.index for _, _, f in made) >= 57
    shown = {f.index: f for *_, f in run(live, 2.2, 4.0)}
    np.testing.assert_allclose(shown[100].latent, latent, atol=1e-4, err_msg="a keyframe ahead is still met")
    mix = live.stream.styles.mix(np.array([160 - live._frame0]))
    assert mix[-1].vector[0] == 1.0, "and a style is still followed"
    assert live.shedder.steps == live.stream.sampler.config.steps, "and takes all steps again once it is on time"


def test_keyframes_soon_at_a_frame_and_for_a_later_utterance(live):
    say(live, "a", 2.0)
    run(live, -1.0, 0.2)
    latent = np.ones(live.stream.sampler.latent_dim, np.float32)
    soon = live.add_keyframe(KeyChange(latent), START + NS // 3)
    assert soon >= live.next_frame + 6, "the face has time to get there"
    assert live.add_keyframe(KeyChange(2 * latent, frame=50), START) == 50
    assert live.add_keyframe(KeyChange(3 * latent, utterance="b", frame=10), START) == 10
    with pytest.raises(InputError, match="two keyframes"):
        live.add_keyframe(KeyChange(latent, frame=50), START)
    with pytest.raises(InputError, match="needs its frame"):
        live.add_keyframe(KeyChange(latent, utterance="b"), START)
    say(live, "b", 1.0, START + 2 * NS)
    made = {(u, f.index): f.latent for _, u, f in run(live, 0.2, 4.0)}
    for place, times in ((("a", soon), 1), (("a", 50), 2), (("b", 10), 3)):
        np.testing.assert_allclose(made[place], times * latent, atol=1e-4)


def test_settings_act_from_the_next_hop_on_also_in_the_utterances_to_come(live, sampler):
    plain = LiveMotion(sampler, horizon=0.5)
    made = []
    for one in (live, plain):
        say(one, "a", 1.0)
        early = run(one, -1.0, 0.0)
        if one is live:
            one.adjust(temperature=0.3, guidance_audio=0.5)
        say(one, "b", 1.0, START + NS)
        made.append((early, run(one, 0.0, 3.0)))
    (early, late), (early_plain, late_plain) = made
    np.testing.assert_array_equal([f.latent for *_, f in early], [f.latent for *_, f in early_plain])
    assert late[0][2].index == late_plain[0][2].index
    assert not np.allclose(late[0][2].latent, late_plain[0][2].latent)
    assert live.stream.config.temperature == 0.3 and live.utterance == "b"
    with pytest.raises(ConfigError, match="guidance_style must lie within"):
        live.adjust(guidance_style=99.0)


def test_an_utterance_goes_on_from_the_end_of_the_one_before(live):
    say(live, "a", 1.0)
    say(live, "b", 1.0, START + NS)
    made = [f for *_, f in run(live, -1.0, 3.0)]
    steps = np.linalg.norm(np.diff([f.latent for f in made], axis=0), axis=1)
    assert steps[29] <= 1.5 * np.delete(steps, 29).max()
