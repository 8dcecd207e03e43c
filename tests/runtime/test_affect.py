"""Styles and hri_msgs' expressions, both ways."""

from __future__ import annotations

import numpy as np
import pytest

from media2face.runtime.affect import AFFECT, PROMPTS, prompt_of, shown_affect, style_affect
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import InputError, Media2FaceError, StyleError

HRI = """neutral angry sad happy surprised disgusted scared pleading vulnerable despaired guilty disappointed
embarrassed horrified skeptical annoyed furious suspicious rejected bored tired asleep confused amazed
excited""".split()


def pose(**shapes: float) -> np.ndarray:
    weights = np.zeros(52)
    for shape, value in shapes.items():
        for name in (shape, shape + "Left", shape + "Right"):
            if name in ARKIT_INDEX:
                weights[ARKIT_INDEX[name]] = value
    return weights


def test_every_expression_of_hri_msgs_is_understood_and_every_name_we_give_is_one():
    assert set(PROMPTS) == set(HRI)
    assert {name for name, _, _ in AFFECT.values()} <= set(HRI)
    for name in HRI:
        text, strength = prompt_of(name, 0.0, 0.0)
        assert 0.0 < strength <= 2.0 and (text or name == "neutral")


def test_prompts_mean_what_they_say_to_the_style_encoder():
    from media2face.runtime.style import StyleEncoder

    try:
        encoder = StyleEncoder(providers="cpu")
    except Media2FaceError as error:
        pytest.skip(str(error))
    assert set(AFFECT) == set(encoder.styles)
    for name, (text, _) in PROMPTS.items():
        found = encoder.encode_text(text)
        assert found.known and (found.style == "neutral") == (name == "neutral"), (name, found.style)


@pytest.mark.parametrize(
    "valence, arousal, style",
    [(0.8, 0.4, "happy"), (-0.7, -0.4, "sad"), (0.05, 0.9, "surprised"), (-0.1, -0.9, "tired"), (0.5, -0.7, "calm")],
)
def test_without_a_name_the_circumplex_decides(valence, arousal, style):
    assert prompt_of("", valence, arousal)[0] == style
    weak = prompt_of("", valence / 3, arousal / 3)
    assert weak[0] == style and weak[1] < prompt_of("", valence, arousal)[1]
    assert prompt_of("", valence / 10, arousal / 10) == ("", 1.0)


@pytest.mark.parametrize(
    "given", [("HAPPY", 0, 0), ("ecstatic", 0, 0), ("happy", np.nan, 0), ("", 2.0, 0), ("", 0, -1.1)]
)
def test_what_hri_msgs_does_not_know_is_refused(given):
    with pytest.raises(InputError):
        prompt_of(*given)


def test_styles_have_names_and_places():
    assert style_affect("afraid", 1.0)[0] == "scared"
    name, place = style_affect("happy", 2.0)
    assert name == "happy" and place.tolist() == [1.0, 0.8]
    assert style_affect("angry", 0.0)[0] == "neutral" and not style_affect("angry", 0.0)[1].any()
    with pytest.raises(StyleError):
        style_affect("furious", 1.0)


def test_the_face_itself_shows_valence_and_arousal():
    smile, frown = shown_affect(pose(mouthSmile=0.7)), shown_affect(pose(mouthFrown=0.7, browDown=0.4))
    assert smile[0] > 0.4 and frown[0] < -0.4
    assert shown_affect(pose(eyeWide=0.8, browOuterUp=0.6))[1] > 0.5
    assert not shown_affect(np.zeros(52)).any()
    assert np.abs(shown_affect(np.ones(52))).max() <= 1.0
