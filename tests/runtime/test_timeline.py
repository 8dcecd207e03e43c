"""Style timelines: what they mean, and what is refused in one line."""

import pytest

from media2face.runtime.errors import StyleError
from media2face.runtime.timeline import Prompt, is_timeline, parse_timeline


def test_prompts_times_and_ramps():
    assert parse_timeline("0:very happy 2.5~0.8:sad, tired 4:", 6.0) == (
        Prompt(0.0, "very happy", 0.0), Prompt(2.5, "sad, tired", 0.8), Prompt(4.0, "", 0.3),
    )  # fmt: skip


def test_a_default_ramp_makes_room_for_the_next_prompt():
    first, second = parse_timeline("1:happy 1.1:sad")
    assert first.ramp == pytest.approx(0.1) and second.ramp == 0.3


@pytest.mark.parametrize("text", ["happy", "a host at 3:00", "smile :)", "3 happy hosts", ""])
def test_words_are_no_timeline(text):
    assert not is_timeline(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0:happy 2.5:sad 1:angry", "goes backwards"),
        ("0:happy 2:sad 2:angry", "goes backwards"),
        ("0:happy 1~2:sad 2:angry", "overlaps"),
        ("0:happy 7:sad", "outlasts the speech"),
        ("0:happy 5~2:sad", "outlasts the speech"),
        ("0:happy 2,5:sad", "cannot read '2,5:'"),
        ("-1:happy", "cannot read '-1:'"),
        ("0:happy 2.5s:sad", "cannot read '2.5s:'"),
        ("0:happy 2~:sad", "cannot read '2~:'"),
        ("0~99:happy", "at most 10 s"),
        (" ".join(f"{i}:a" for i in range(300)), "at most 200"),
    ],
)
def test_timelines_that_are_refused(text, reason):
    assert is_timeline(text)
    with pytest.raises(StyleError) as caught:
        parse_timeline(text, 6.0)
    assert reason in str(caught.value) and "\n" not in str(caught.value)
