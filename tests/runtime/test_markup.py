"""Style marks inside speech text."""

import time

import pytest

from media2face.runtime.errors import StyleError
from media2face.runtime.markup import MAX_CHARACTERS, StyleMark, parse_markup


@pytest.mark.parametrize(
    ("text", "marks", "clean"),
    [
        ("Good news <set expression(happy)> we won", [("happy", "we won")], "Good news we won"),
        ("<set expression(sad)>oh no", [("sad", "oh no")], "oh no"),
        ("one <set expression(very_happy)>two <SET  Expression( calm )/> three",
         [("very happy", "two three"), ("calm", "three")], "one two three"),
        ("a <set expression(happy)><set expression(sad)> b", [("happy", "b"), ("sad", "b")], "a b"),
        ("x <do wave> y <set expression()>", [("neutral", "")], "x y"),
        ("if a < b and c > d", [], "if a < b and c > d"),
        ("broken <set expression(happy", [], "broken <set expression(happy"),
        ("", [], ""),
    ],
)  # fmt: skip
def test_marks_and_clean_text(text, marks, clean):
    found, spoken = parse_markup(text)
    assert spoken == clean
    assert [(m.style, spoken[m.position :]) for m in found] == marks
    assert all(isinstance(m, StyleMark) and 0 <= m.position <= len(spoken) for m in found)


def test_what_is_not_text_or_too_long_is_refused():
    with pytest.raises(StyleError, match="got bytes"):
        parse_markup(b"<set expression(happy)>")
    with pytest.raises(StyleError, match=f"{MAX_CHARACTERS}"):
        parse_markup("a" * (MAX_CHARACTERS + 1))


def test_hostile_text_takes_no_time():
    start = time.perf_counter()
    for text in ("<set expression(" + " " * 19_000, "<" * 20_000, "<set expression(a)>" * 1_000, "< set" * 4_000):
        parse_markup(text)
    assert time.perf_counter() - start < 2.0
