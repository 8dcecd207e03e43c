"""Chunks as they come: gaps, duplicates, disorder, two speakers at once."""

import numpy as np
import pytest

from media2face.runtime.intake import AudioIntake, Chunk, pcm

RATE = 16_000
SPEECH = np.random.default_rng(5).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)


def chunk(first, end, utterance="a", last=False, rate=RATE, channels=1):
    samples = np.repeat(SPEECH[first:end, None], channels, axis=1)
    return Chunk(utterance, first, rate, samples, 10**18 + first * 10**9 // rate, last)


def collect(intake, chunks):
    pieces = [p for c in chunks for p in intake.push(c)]
    for a, b in zip(pieces, pieces[1:], strict=False):
        if a.utterance == b.utterance and not b.starts:
            assert b.first_sample == a.first_sample + len(a.samples)
    return pieces, np.concatenate([p.samples for p in pieces]) if pieces else np.zeros(0)


def cuts(size, **more):
    end = len(SPEECH)
    return [chunk(i, min(i + size, end), last=i + size >= end, **more) for i in range(0, end, size)]


def test_clean_speech_passes_unchanged():
    intake = AudioIntake()
    pieces, sound = collect(intake, cuts(500))
    assert np.array_equal(sound, SPEECH)
    assert pieces[0].starts and pieces[-1].ends and pieces[0].anchor == 10**18
    assert not +intake.counts
    assert intake.utterance is None


def test_gap_becomes_silence_and_nothing_shifts():
    intake = AudioIntake()
    _, sound = collect(intake, [c for c in cuts(500) if not 8000 <= c.first_sample < 9000])
    assert len(sound) == len(SPEECH)
    assert not sound[8000:9000].any()
    assert np.array_equal(sound[9000:], SPEECH[9000:])
    assert intake.counts["gaps"] == 1 and intake.counts["samples of silence filled in"] == 1000


def test_chunks_out_of_order_are_put_right():
    intake = AudioIntake()
    chunks = cuts(500)
    chunks[6], chunks[7] = chunks[7], chunks[6]
    _, sound = collect(intake, chunks)
    assert np.array_equal(sound, SPEECH)
    assert intake.counts["out of order"] == 1 and not intake.counts["gaps"]


def test_duplicates_and_overlaps_are_dropped():
    intake = AudioIntake()
    chunks = cuts(500)
    chunks.insert(5, chunks[3])
    chunks.insert(9, chunk(3500, 4200))
    _, sound = collect(intake, chunks)
    assert np.array_equal(sound, SPEECH)
    assert intake.counts["duplicate or too late"] >= 1


def test_the_newest_speaker_has_the_floor():
    intake = AudioIntake()
    mixed = [c for pair in zip(cuts(500), cuts(500, utterance="b"), strict=True) for c in pair]
    pieces, _ = collect(intake, mixed)
    assert [p.utterance for p in pieces if p.cut] == ["a"]
    assert np.array_equal(np.concatenate([p.samples for p in pieces if p.utterance == "b"]), SPEECH)
    assert intake.counts["cut short by another utterance"] == 1
    assert intake.counts["after the end"] == len(cuts(500)) - 1


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_joining_in_the_middle_keeps_the_grid(rate):
    intake = AudioIntake()
    pieces, sound = collect(intake, [c for c in cuts(500, rate=rate) if c.first_sample >= 9500])
    assert pieces[0].starts and pieces[0].first_sample % 1600 == 0
    assert pieces[0].anchor == pytest.approx(10**18, abs=10**5)
    begin = pieces[0].first_sample * rate / 16_000
    assert 9500 <= begin <= 9500 + rate / 10 + 1
    assert len(sound) == pytest.approx((len(SPEECH) - begin) * 16_000 / rate, abs=2)
    assert intake.counts["joined in the middle"] == 1


@pytest.mark.parametrize(
    "bad",
    [
        Chunk("", 0, RATE, np.zeros((10, 1), np.float32), 1),
        Chunk("x" * 200, 0, RATE, np.zeros((10, 1), np.float32), 1),
        Chunk("b", 0, 100, np.zeros((10, 1), np.float32), 1),
        Chunk("b", 0, 10**7, np.zeros((10, 1), np.float32), 1),
        Chunk("b", 0, RATE, np.zeros((10, 9), np.float32), 1),
        Chunk("b", 0, RATE, np.zeros((0, 1), np.float32), 1),
        Chunk("b", 2**60, RATE, np.zeros((10, 1), np.float32), 1),
        Chunk("a", 4000, 44_100, np.zeros((10, 1), np.float32), 1),
        Chunk("a", 4000, RATE, np.zeros((10, 2), np.float32), 1),
        Chunk("a", 4000 + 20 * RATE, RATE, np.zeros((10, 1), np.float32), 1),
    ],
)
def test_what_cannot_be_right_is_counted_and_changes_nothing(bad):
    intake = AudioIntake()
    chunks = cuts(500)
    chunks.insert(8, bad)
    _, sound = collect(intake, chunks)
    assert np.array_equal(sound, SPEECH)
    assert sum(intake.counts.values()) == 1


def test_nan_becomes_silence():
    intake = AudioIntake()
    c = chunk(0, 500)
    c.samples[100:110] = np.nan
    _, sound = collect(intake, [c])
    assert not sound[100:110].any() and np.isfinite(sound).all()
    assert intake.counts["samples not finite"] == 10


def test_a_stream_that_has_moved_on_is_followed():
    intake = AudioIntake()
    a = [chunk(i, i + 500) for i in range(0, 4000, 500)]
    far = [
        Chunk("a", 60 * RATE + i, RATE, SPEECH[i : i + 500, None], 10**18 + 60 * 10**9, False)
        for i in range(0, 8000, 500)
    ]
    pieces, _ = collect(intake, a + far)
    assert [p.first_sample for p in pieces if p.starts][1] == pytest.approx(60 * RATE + 500, abs=1600)


def test_interrupted_speech_is_refused():
    intake = AudioIntake()
    chunks = cuts(500)
    intake.push(chunks[0])
    intake.close("a")
    assert intake.push(chunks[1]) == []
    assert intake.counts["after the end"] == 1


def test_pcm_formats():
    assert pcm("int16", np.array([16384, -32768], np.int16), 1).ravel().tolist() == [0.5, -1.0]
    assert pcm("uint8", np.array([128, 0], np.uint8), 2).tolist() == [[0.0, -1.0]]
    assert pcm("int32", np.array([2**30], np.int32), 1).ravel().tolist() == [0.5]
    assert pcm("float32", np.zeros(3, np.float32), 2) is None
    assert pcm("float32", np.zeros(3, np.float32), 0) is None
