"""Files delivered at a pace, and a loudspeaker that nobody hears."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from media2face.runtime.errors import AudioError
from media2face.runtime.loudspeaker import BLOCK_S, SilentLoudspeaker, open_loudspeaker
from media2face.runtime.presentation import PlaybackBuffer
from media2face.runtime.sources import FileSpeech, utterance_id

NS = 1_000_000_000
START = 10**18


@pytest.fixture
def wave(tmp_path):
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, 20_000).astype(np.float32)
    path = tmp_path / "my speech!.wav"
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    return path, samples


def drain(source: FileSpeech, step_ns: int = 5_000_000):
    chunks, now = [], START
    while not source.finished:
        while not source.finished and source.due(now) == 0.0:
            chunks.append((now, source.next(now)))
        now += step_ns
    return chunks


@pytest.mark.parametrize("pace", [1.0, 2.0])
def test_a_file_comes_at_its_pace_with_the_stamps_of_a_microphone(wave, pace):
    path, samples = wave
    chunks = drain(FileSpeech(path, 0.032, pace))
    assert np.array_equal(np.concatenate([c.samples[:, 0] for _, c in chunks]), samples)
    for now, c in chunks[1:]:
        complete = c.stamp + len(c.samples) * NS / 16_000 / pace
        assert 0 <= now - complete < 10_000_000, "a chunk comes when its last sample has been captured"
        assert c.stamp == pytest.approx(START + c.first_sample * NS / 16_000 / pace, abs=NS // 100)
    assert [c.last for _, c in chunks] == [False] * (len(chunks) - 1) + [True]


def test_as_fast_as_possible(wave):
    path, samples = wave
    source = FileSpeech(path, 0.1, 0.0)
    chunks = []
    while not source.finished:
        assert source.due(START) == 0.0
        chunks.append(source.next(START))
    assert sum(len(c.samples) for c in chunks) == len(samples)


def test_a_file_that_is_none_is_refused_at_once(tmp_path):
    with pytest.raises(AudioError, match="no such audio file"):
        FileSpeech(tmp_path / "none.wav")


def test_utterances_have_ids_of_their_own():
    ids = {utterance_id("my speech!")}
    assert all(i.startswith("my_speech_-") for i in ids)
    assert utterance_id("").startswith("speech-")
    assert len(utterance_id("x" * 500)) < 100


def test_the_silent_loudspeaker_keeps_time():
    now = START
    buffer = PlaybackBuffer()
    buffer.begin("a", START + NS // 10)
    buffer.append("a", np.ones(1600, np.float32))
    speaker = SilentLoudspeaker(buffer, lambda: now)
    speaker.start()
    while now < START + NS // 2:
        pause = speaker.pull()
        assert 0 < pause <= BLOCK_S
        now += round(pause * NS) + 1000
    assert buffer.underruns == pytest.approx((0.5 - 0.2) / BLOCK_S, abs=1.5)
    buffer.finish("a")
    assert not buffer.playing(now)


def test_no_device_means_silence_unless_one_was_named():
    speaker, line = open_loudspeaker(PlaybackBuffer(), "none")
    assert not speaker.real and "clock" in line
    with pytest.raises(AudioError):
        open_loudspeaker(PlaybackBuffer(), "no such loudspeaker anywhere")
