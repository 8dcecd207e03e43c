"""Files and arrays to mono 16 kHz: rates, formats, channels, streaming, and everything that can be wrong with them."""

import logging
import tracemalloc

import numpy as np
import pytest
import soundfile

from media2face.runtime.audio_io import (
    AudioFile,
    StreamingResampler,
    read_audio,
    stream_audio,
    to_16k_mono,
)
from media2face.runtime.errors import AudioError

FORMATS = {
    "wav": {},
    "flac": {},
    "ogg": {"format": "OGG", "subtype": "VORBIS"},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "mp3": {},
}


def tone(rate: int, seconds: float = 1.0, hertz: float = 440.0, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def write(path, samples, rate=48_000, **options):
    soundfile.write(path, samples, rate, **options)
    return path


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_any_rate_keeps_time_and_level(tmp_path, rate):
    audio = read_audio(write(tmp_path / "a.wav", tone(rate), rate, subtype="FLOAT"))
    assert audio.samples.dtype == np.float32 and len(audio.samples) == 16_000 and audio.source_rate == rate
    assert audio.duration == 1.0
    middle = slice(1600, -1600)
    assert np.abs(audio.samples - tone(16_000))[middle].max() < 2e-3


@pytest.mark.parametrize("suffix", FORMATS)
def test_any_format_keeps_time(tmp_path, suffix):
    speech = tone(48_000) * np.hanning(48_000).astype(np.float32)
    audio = read_audio(write(tmp_path / f"a.{suffix}", speech, **FORMATS[suffix]))
    assert len(audio.samples) == 16_000 and audio.channels == 1
    expected = tone(16_000) * np.hanning(16_000)
    assert np.corrcoef(audio.samples, expected)[0, 1] > 0.95  # a shift of 2 samples gives 0.94


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus"])
@pytest.mark.parametrize("channels", range(2, 9))
def test_channels_are_mixed_and_the_lfe_is_left_out(tmp_path, suffix, channels):
    """A tone in each channel in turn: all weigh in, the centre most, the LFE not at all, and together they sum to 1."""
    lfe = None if channels < 6 else 3 if suffix in ("wav", "flac") else channels - 1
    centre = None if channels in (2, 4) else 2 if suffix in ("wav", "flac") else 1
    levels = []
    for c in range(channels):
        frames = np.zeros((9_600, channels), np.float32)
        frames[:, c] = tone(48_000, 0.2)
        mono = read_audio(write(tmp_path / f"a.{suffix}", frames, **FORMATS[suffix])).samples[800:-800]
        levels.append(mono.std() / tone(16_000, 0.2)[800:-800].std())
    assert sum(levels) == pytest.approx(1.0, abs=0.06)
    for c, level in enumerate(levels):
        assert (level < 0.01) if c == lfe else (level > 0.05)
    if centre is not None:
        assert int(np.argmax(levels)) == centre


@pytest.mark.parametrize("rate", [11_025, 16_000, 44_100, 192_000])
@pytest.mark.parametrize("quality", ["HQ", "LQ"])
def test_chunks_change_nothing(rate, quality):
    rng = np.random.default_rng(rate)
    signal = rng.uniform(-0.5, 0.5, rate // 3).astype(np.float32)

    def run(sizes):
        resampler, out, start = StreamingResampler(rate, quality=quality), [], 0
        while start < len(signal):
            size = int(next(sizes))
            out.append(resampler.accept(signal[start : start + size]))
            start += size
        return np.concatenate([*out, resampler.finish()])

    whole = run(iter([len(signal)]))
    assert len(whole) == round(len(signal) * 16_000 / rate)
    assert np.array_equal(whole, run(iter(lambda: rng.integers(1, 700), None)))


def test_resampler_can_be_used_again():
    resampler = StreamingResampler(48_000)
    first = np.concatenate([resampler.accept(tone(48_000)), resampler.finish()])
    again = np.concatenate([resampler.accept(tone(48_000)), resampler.finish()])
    assert np.array_equal(first, again)


@pytest.mark.parametrize("block_s", [0.01, 0.25, 1.0, 100.0])
def test_blocks_join_to_the_whole_file(tmp_path, block_s):
    path = write(tmp_path / "a.flac", tone(44_100, 2.3), 44_100)
    blocks = list(stream_audio(path, block_s))
    assert {len(b) for b in blocks[:-1]} <= {round(block_s * 16_000)}
    assert np.array_equal(np.concatenate(blocks), read_audio(path).samples)


def test_an_hour_needs_no_more_memory_than_a_minute(tmp_path):
    path = tmp_path / "hour.wav"
    with soundfile.SoundFile(path, "w", 8_000, 1) as file:
        minute = tone(8_000, 60.0)
        for _ in range(60):
            file.write(minute)
    tracemalloc.start()
    total = sum(len(block) for block in stream_audio(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 3600 * 16_000
    assert peak < 5e6


@pytest.mark.parametrize("rate", [8_000, 16_000, 192_000])
def test_one_sample_works(tmp_path, rate):
    audio = read_audio(write(tmp_path / "a.wav", np.float32([0.5]), rate))
    assert len(audio.samples) == max(round(16_000 / rate), 1)
    assert np.isfinite(audio.samples).all()


def test_nan_becomes_zero_is_counted_and_said(tmp_path, caplog):
    signal = tone(16_000)
    signal[[100, 200]] = np.nan, np.inf
    path = write(tmp_path / "a.wav", signal, 16_000, subtype="FLOAT")
    with caplog.at_level(logging.WARNING):
        audio = read_audio(path)
    assert audio.defects.nonfinite == 2 and audio.samples[100] == audio.samples[200] == 0.0
    assert np.isfinite(audio.samples).all() and np.array_equal(audio.samples[300:], signal[300:])
    assert "2 of 16000 samples were NaN" in caplog.text


def test_clipping_is_measured_and_said(tmp_path, caplog):
    loud = np.clip(tone(16_000, 4.0, level=1.2), -1, 1)
    expected = float((np.abs(loud) >= 0.999).mean())  # about a third
    with caplog.at_level(logging.WARNING):
        audio = read_audio(write(tmp_path / "a.wav", loud, 16_000, subtype="FLOAT"))
    assert audio.defects.clipped_share == pytest.approx(expected, abs=1e-4) and 0.3 < expected < 0.5
    assert "clipped" in caplog.text


def test_clipped_runs_are_counted_across_blocks():
    """The count of a long run, and of lone peaks, does not depend on where blocks are cut."""
    signal = np.zeros(32_768 * 2 + 10, np.float32)
    signal[32_767:32_769] = 1.0  # a run of two, one sample on each side of the first border
    signal[65_535] = 1.0  # a lone peak at the second border
    signal[100:110] = -1.0
    assert to_16k_mono(signal, 16_000).defects.clipped == 12


def test_clipped_run_over_a_file_block_border(tmp_path):
    signal = np.zeros(70_000, np.float32)
    signal[32_767:32_769] = 1.0
    signal[65_535] = 1.0
    audio = read_audio(write(tmp_path / "a.wav", signal, 16_000, subtype="FLOAT"))
    assert audio.defects.clipped == 2


def test_clean_speech_is_not_reported(tmp_path, caplog):
    read_audio(write(tmp_path / "a.wav", tone(16_000), 16_000))
    assert not caplog.records


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.97])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3"])
def test_truncated_file_is_refused(tmp_path, suffix, keep):
    path = write(tmp_path / f"a.{suffix}", tone(48_000, 3.0))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(AudioError, match="truncated|not audio|no sound"):
        read_audio(path)


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
def test_truncated_ogg_is_read_as_far_as_it_goes_and_said(tmp_path, suffix, caplog):
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 48_000 * 4).astype(np.float32)
    path = write(tmp_path / f"a.{suffix}", noise, **FORMATS[suffix])
    read_audio(path)
    assert not caplog.records
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert 0.5 < read_audio(path).duration < 3.5
    assert "no end-of-stream mark" in caplog.text


def test_wav_from_a_pipe_has_no_length_and_is_read(tmp_path):
    path = write(tmp_path / "a.wav", tone(16_000), 16_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = data[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(read_audio(path).samples) == 16_000


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"RIFF", "not audio"), (b"this is a letter, not a sound" * 50, "not audio"),
     (bytes(5000), "not audio")],
)  # fmt: skip
def test_what_is_no_audio_is_refused(tmp_path, content, message):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=message):
        read_audio(path)
    with pytest.raises(AudioError, match=message):
        next(stream_audio(path))


def test_missing_folder_and_zero_samples_are_refused(tmp_path):
    with pytest.raises(AudioError, match="no such audio file"):
        read_audio(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="folder"):
        read_audio(tmp_path)
    with pytest.raises(AudioError, match="no sound"):
        read_audio(write(tmp_path / "a.wav", np.zeros(0, np.float32)))


def test_impossible_rates_and_channels_are_refused(tmp_path):
    with pytest.raises(AudioError, match="4000"):
        read_audio(write(tmp_path / "slow.wav", tone(4_000), 4_000))
    with pytest.raises(AudioError, match="9 channels"):
        read_audio(write(tmp_path / "many.wav", np.zeros((100, 9), np.float32)))
    for rate in (0, -1, 200_000, 16_000.5):
        with pytest.raises(AudioError, match="sample rate"):
            StreamingResampler(rate)
    with pytest.raises(AudioError, match="block"):
        next(stream_audio(tmp_path / "slow.wav", 0.0))


def test_arrays(tmp_path):
    whole = (tone(48_000) * 32767).astype(np.int16)
    stereo = np.stack([whole, whole], axis=1)
    audio = to_16k_mono(stereo, 48_000)
    assert audio.channels == 2 and np.abs(audio.samples - tone(16_000))[800:-800].max() < 2e-3
    for bad in (np.zeros(0), np.zeros((2, 2, 2)), np.zeros(4, np.uint8), np.zeros((4, 9))):
        with pytest.raises(AudioError, match="expected"):
            to_16k_mono(bad, 16_000)


def test_file_is_closed_after_an_error(tmp_path):
    path = write(tmp_path / "a.wav", tone(16_000), 16_000)
    with AudioFile(path) as source:
        next(source.blocks())
    assert source._file.closed
