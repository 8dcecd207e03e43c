"""When frames go out and sound is heard."""

import numpy as np
import pytest

from media2face.runtime.presentation import (
    EASE_FRAMES,
    HOLD_FRAMES,
    NS,
    FrameQueue,
    PlaybackBuffer,
    Queued,
    StarvedFace,
    Timeline,
    frame_offset,
)

MS = 1_000_000
START = 10**18


def test_speech_faster_than_real_time_waits_its_turn():
    timeline = Timeline(300 * MS)
    a = timeline.begin("a", START)
    timeline.finish("a", 5 * 16_000)
    b = timeline.begin("b", START + NS)
    assert a == START + 300 * MS
    assert b == a + 5 * NS
    assert timeline.begin("a", START + 7 * NS) == a


def test_an_interrupt_frees_the_timeline():
    timeline = Timeline(300 * MS)
    timeline.begin("a", START)
    timeline.finish("a", 60 * 16_000)
    timeline.stop(START + NS)
    assert timeline.begin("b", START + NS) == START + NS + 300 * MS


def test_frames_leave_at_most_ahead_and_in_order():
    queue = FrameQueue(100 * MS)
    queue.push("a", START, 0, 0, list(range(60)))
    seen = []
    for now in range(START - 200 * MS, START + 3 * NS, 5 * MS):
        for q in queue.due(now):
            assert 0 <= q.present - now <= 100 * MS
            assert q.present == START + frame_offset(q.frame)
            seen.append(q.frame)
    assert seen == list(range(60))
    assert queue.next_time() is None and not queue.counts


def test_a_higher_revision_replaces_what_waits():
    queue = FrameQueue(0)
    queue.push("a", START, 0, 0, ["old"] * 10)
    assert queue.push("a", START, 4, 1, ["new"] * 8) == 8
    assert queue.push("a", START, 6, 0, ["old"] * 4) == 0
    out = queue.due(START + frame_offset(3)) + queue.due(START + frame_offset(4))
    values = [q.value for q in out]
    for k in range(5, 12):
        values += [q.value for q in queue.due(START + frame_offset(k))]
    assert values[-8:] == ["new"] * 8
    assert queue.counts["frames of an old revision"] == 4


def test_frames_already_out_come_again_under_a_higher_revision():
    queue = FrameQueue(100 * MS)
    queue.push("a", START, 0, 0, ["old"] * 6)
    assert [q.frame for q in queue.due(START)] == [0, 1, 2, 3]
    queue.push("a", START, 2, 1, ["new"] * 4)
    again = queue.due(START)
    assert [(q.frame, q.revision) for q in again] == [(2, 1), (3, 1)]


def test_a_restarted_sampler_is_followed_although_its_revisions_begin_anew():
    queue = FrameQueue(0)
    queue.push("a", START, 0, 3, ["x"] * 10)
    assert queue.push("a", START, 15, 0, ["y"] * 3) == 3
    assert queue.counts["frames that never came"] == 5


def test_duplicates_are_counted():
    queue = FrameQueue(0)
    queue.push("a", START, 0, 0, list("abcd"))
    assert queue.push("a", START, 2, 0, list("cdef")) == 2
    assert queue.counts["duplicate frames"] == 2
    assert len(queue) == 6


def test_of_late_frames_only_the_latest_is_shown():
    queue = FrameQueue(0)
    queue.push("a", START, 0, 0, list(range(10)))
    assert [q.value for q in queue.due(START + frame_offset(5) + 1)] == [5]
    assert queue.counts["late frames left out"] == 5


def test_a_new_utterance_ends_the_one_before():
    queue = FrameQueue(0)
    queue.push("a", START, 0, 0, ["a"] * 30)
    queue.push("b", START + NS // 2, 0, 0, ["b"] * 30)
    assert queue.push("a", START, 30, 0, ["a"] * 2) == 0
    out = [q.value for t in range(0, 2 * NS, 10 * MS) for q in queue.due(START + t)]
    assert out == ["a"] * 15 + ["b"] * 30


def test_playback_reads_by_the_clock():
    sound = np.arange(1, 16_001, dtype=np.float32)
    buffer = PlaybackBuffer()
    buffer.begin("a", START)
    buffer.append("a", sound)
    buffer.finish("a")
    assert not buffer.read(START - NS, 160).any()
    assert np.array_equal(buffer.read(START + NS // 2, 160), sound[8000:8160])
    half = buffer.read(START - 5 * MS, 160)
    assert not half[:80].any() and np.array_equal(half[80:], sound[:80])
    assert buffer.playing(START + NS - 1) and not buffer.playing(START + NS)
    assert buffer.underruns == 0


def test_missing_sound_is_an_underrun_and_late_sound_keeps_its_place():
    buffer = PlaybackBuffer()
    buffer.begin("a", START)
    buffer.append("a", np.ones(800, np.float32))
    assert buffer.read(START + 45 * MS, 320).tolist() == [1.0] * 80 + [0.0] * 240
    buffer.append("a", np.full(800, 2.0, np.float32))
    assert buffer.read(START + 65 * MS, 320).tolist() == [2.0] * 320
    assert buffer.underruns == 1


def test_an_interrupt_silences_at_once():
    buffer = PlaybackBuffer()
    buffer.begin("a", START)
    buffer.append("a", np.ones(16_000, np.float32))
    buffer.stop("a", START + 100 * MS)
    assert buffer.read(START + 95 * MS, 160).sum() == 80
    assert not buffer.playing(START + 100 * MS)


def test_long_speech_does_not_grow_in_memory():
    buffer = PlaybackBuffer()
    buffer.begin("a", START)
    for second in range(60):
        buffer.append("a", np.full(16_000, second, np.float32))
        assert buffer.read(START + second * NS, 160)[0] == second
    assert len(buffer._tracks["a"].samples) < 4 * 16_000
    assert buffer.received("a") == pytest.approx(60.0)


def test_a_starved_face_holds_then_comes_to_rest():
    turned = np.array([0.0, 0.0, np.sin(0.2), np.cos(0.2)], np.float32)
    value = ("x", np.full(52, 0.8, np.float32), turned, np.array([0.01, 0.0, 0.0], np.float32))
    last = Queued("a", 40, 2, START + frame_offset(40), value)
    face = StarvedFace(last)
    assert face.due(last.present + NS * (HOLD_FRAMES - 1) // 30) is None
    seen = []
    while (when := face.next_time()) is not None:
        seen.append(face.due(when))
        assert seen[-1].present == when == START + frame_offset(seen[-1].frame)
    assert [q.frame for q in seen] == list(range(40 + HOLD_FRAMES, 40 + HOLD_FRAMES + EASE_FRAMES))
    jaw = [q.value[1][0] for q in seen]
    assert jaw == sorted(jaw, reverse=True) and jaw[0] < 0.8 and jaw[-1] == pytest.approx(0.0, abs=1e-6)
    assert np.allclose(seen[-1].value[2], [0, 0, 0, 1], atol=1e-6) and not seen[-1].value[3].any()
    assert all(np.linalg.norm(q.value[2]) == pytest.approx(1.0, abs=1e-5) for q in seen)
    late = StarvedFace(last)
    assert late.due(last.present + 10 * NS).frame == 40 + HOLD_FRAMES + EASE_FRAMES - 1
