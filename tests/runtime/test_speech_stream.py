"""The speech stream with the shipped weights: any chunks, bad samples, ends, resets, errors, speed."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from spoken import check_any_chunks, voice

from media2face.runtime.errors import AudioError, ModelError
from media2face.runtime.sessions import weights_folder
from media2face.runtime.speech import SpeechEncoder


@pytest.fixture(scope="module")
def encoder():
    if not (weights_folder() / "speech_context.onnx").exists():
        pytest.skip("the encoder's weights are not there")
    return SpeechEncoder(providers="cpu")


def test_any_chunks_give_the_same_features(encoder):
    check_any_chunks(encoder, voice(3.3), (37, 1000, 9000))


def test_a_feature_is_known_exactly_when_its_audio_has_come(encoder):
    stream, x = encoder.stream(), voice(1.0)
    due = 320 * (7 + encoder.delay) + 400
    stream.accept_waveform(x[: due - 1])
    assert stream.available == 7
    stream.accept_waveform(x[due - 1 : due])
    assert stream.available == 8
    assert encoder.lookahead_s == pytest.approx((320 * encoder.delay + 200) / 16_000)


@pytest.mark.parametrize("samples", [0, 1, 399, 16_000, 33_333])
def test_the_end_covers_the_motion(encoder, samples):
    features = encoder.encode(voice(3.0)[:samples])
    frames = math.ceil(samples / 16_000 * 30) + 8
    assert (320 * (len(features) - 1) + 200) / 16_000 >= frames / 30
    assert len(features) * 320 < samples + 16_000 and np.isfinite(features).all()


def test_reset_forgets_everything(encoder):
    x, stream = voice(1.0), encoder.stream()
    stream.accept_waveform(voice(2.0, seed=5))
    stream.input_finished()
    stream.reset()
    stream.accept_waveform(x)
    stream.input_finished()
    first, features = stream.read()
    assert first == 0 and np.array_equal(features, encoder.encode(x))


def test_streams_do_not_disturb_each_other(encoder):
    a, b, x, y = encoder.stream(), encoder.stream(), voice(1.0, 1), voice(1.0, 2)
    for at in range(0, 16_000, 800):
        a.accept_waveform(x[at : at + 800])
        b.accept_waveform(y[at : at + 800])
    for stream, audio in ((a, x), (b, y)):
        stream.input_finished()
        assert np.abs(stream.read()[1] - encoder.encode(audio)).max() <= 1e-5


def test_bad_samples_are_silence_and_counted(encoder):
    x = voice(1.0)
    x[4000:4010], x[9000] = np.nan, np.inf
    stream = encoder.stream()
    stream.accept_waveform(x)
    stream.input_finished()
    assert stream.bad_samples == 11
    assert np.array_equal(stream.read()[1], encoder.encode(np.where(np.isfinite(x), x, 0).astype(np.float32)))


def test_what_is_not_audio_is_refused(encoder):
    stream = encoder.stream()
    with pytest.raises(AudioError, match="int16"):
        stream.accept_waveform(np.zeros(100, np.int16))
    with pytest.raises(AudioError, match="mono"):
        stream.accept_waveform(np.zeros((2, 100), np.float32))
    stream.input_finished()
    with pytest.raises(AudioError, match="reset"):
        stream.accept_waveform(np.zeros(100, np.float32))
    with pytest.raises(AudioError, match="with_phones"):
        stream.read_phones()


def test_silence_and_sound_are_told_apart(encoder):
    stream = encoder.stream(with_phones=True)
    stream.accept_waveform(np.zeros(16_000, np.float32))
    first, logits = stream.read_phones()
    assert first == 0 and (logits.argmax(1) == encoder.phones.index("sil")).mean() > 0.9


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(ModelError, match="speech_frontend"):
        SpeechEncoder(tmp_path)


def test_it_keeps_up_with_speech(encoder):
    """A loose bound that holds on a busy machine: ten times faster than speech, in live chunks."""
    x, stream = voice(4.0), encoder.stream()
    began = time.process_time()
    for at in range(0, len(x), 1067):
        stream.accept_waveform(x[at : at + 1067])
    assert time.process_time() - began < 0.4
