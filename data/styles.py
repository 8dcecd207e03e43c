"""The fifteen talking styles: their words, prompts sampled from them, and the style each emoji shows.

The word table is our own (``style_words.py``); which style an emoji shows was decided by its CLDR name and keywords
and by its picture, and is written out below. Both have a part that is never trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from .style_words import RAW

if TYPE_CHECKING:
    import numpy as np

STYLES: tuple[str, ...] = (
    "neutral", "happy", "sad", "angry", "surprised", "afraid", "disgusted", "contemptuous", "excited", "calm", "tired",
    "confused", "thoughtful", "playful", "bored",
)  # fmt: skip

LEVELS: tuple[str, ...] = ("slight", "medium", "strong")
LEVEL_INTENSITY: dict[str, float] = {"slight": 0.3, "medium": 0.65, "strong": 1.0}
"""Intensity that the words of a level stand for, in [0, 1]."""

_DEGREES = {
    "slight": "slightly,a little,a bit,somewhat,mildly,faintly,a touch,a tiny bit,kind of,barely,"
    "a little bit,vaguely,subtly".split(","),
    "medium": ",,,,,quite,rather,fairly,pretty,clearly,moderately,noticeably".split(","),
    "strong": "very,extremely,really,so,incredibly,deeply,terribly,totally,completely,absolutely,utterly,super,"
    "intensely,unbelievably,very very,truly,hugely,wildly".split(","),
}
_AMOUNTS = {
    "slight": "a hint of,a trace of,a touch of,a little,slight,faint,a bit of,mild,some,subtle".split(","),
    "medium": ",,,,clear,obvious,moderate".split(","),
    "strong": "deep,great,pure,overwhelming,utter,intense,enormous,sheer,boundless,a lot of,strong,extreme,total".split(
        ","
    ),
}

ROLES: tuple[str, ...] = tuple(
    "host,teacher,robot,presenter,news anchor,receptionist,guide,nurse,friend,child,grandmother,salesman,politician,"
    "professor,coach,storyteller,assistant,customer,doctor,pilot,chef,singer,gamer,waiter,librarian,speaker,man,woman,"
    "person,avatar,character,face,girl,boy,lady,mother,father,student,actor,actress,scientist,engineer,soldier,king,"
    "queen,neighbour,voice,colleague,boss,worker,moderator,narrator,lecturer,butler,driver,shopkeeper,tour guide,"
    "old man,young woman,digital human,virtual assistant,talk show host,tv host,radio host,police officer,captain,"
    "museum guide,weather presenter,call centre agent,concierge,dancer,painter,judge,lawyer,priest,manager,employee,"
    "teenager,toddler,human,agent,interviewer,reporter,hostess,wizard,princess,pirate,alien,companion".split(",")
)
SCENES: tuple[str, ...] = tuple(
    "at the airport,about the weather,to the audience,in a museum,on stage,in front of the class,on the phone,at home,"
    "in the kitchen,in the office,on television,at the reception desk,in a lecture,about history,on a bus,in a hotel,"
    "to a customer,to a child,to the camera,during an interview,in a video call,in the morning,at night,at work,"
    "about football,reading a story,explaining a recipe,giving directions,answering questions,welcoming the guests,"
    "talking about food,presenting the weather,telling a story,speaking to a friend,with glasses,with long hair,"
    "in a blue shirt,wearing a red hat,looking at the camera,in the rain,in a small town,at the door,on the radio,"
    "introducing a product,from france,at school,after lunch,on monday,in the garden,about mathematics".split(",")
)
_TRAITS = "young,old,tall,professional,female,male,french,german,digital,middle-aged,british,famous,local".split(",")

_ADJECTIVE = (
    "{x}", "{x}", "{ax} {role}", "{ax} {role}", "{ax} {role} {scene}", "the {role} is {x}", "the {role} looks {x}",
    "feeling {x}", "be {x}", "sound {x}", "please be {x}", "{x} voice", "{x} tone", "in {ax} voice", "in {ax} way",
    "in {ax} tone of voice", "{ax} {trait} {role}", "style: {x}", "emotion = {x}", "mood: {x}", "i am {x}",
    "she is {x}", "he seems {x}", "make it {x}", "talk like {ax} {role}", "speak as {ax} {role}", "{role}, {x}",
    "{x}, {role}, {scene}", "{ax} face", "{ax} expression", "looking {x} {scene}", "as if you were {x}",
    "you are {x} {scene}", "{ax} person speaking", "a {role} who is {x}", "a {trait} {role} who feels {x} {scene}",
    "talking {scene}, {x}", "{x} mood", "{x} style", "{x} speech", "expression({x})", "with {ax} face",
)  # fmt: skip
_ADVERB = (
    "{x}", "speaking {x}", "talking {x}", "{x} speaking", "say it {x}", "a {role} speaking {x}", "speaks {x} {scene}",
    "the {role} talks {x}", "a {trait} {role} talking {x} {scene}", "answering {x}", "she said {x}", "{role}, {x}",
    "explain it {x}",
)  # fmt: skip
_NOUN = (
    "{x}", "with {x}", "speaking with {x}", "full of {x}", "a face full of {x}", "a {role} with {x}", "feeling {x}",
    "{x} in the voice", "showing {x}", "a {role} speaking with {x} {scene}", "express {x}", "with {x} in the eyes",
    "eyes full of {x}", "emotion: {x}", "a {role} filled with {x}",
)  # fmt: skip
_ACT = (
    "{x}", "a {role} {x}", "{x} {scene}", "the {role} is {x}", "somebody {x}", "like a {role} {x}",
    "{x} while speaking",
)  # fmt: skip
_PHRASE = ("{x}", "{x}", "a {role}, {x}", "{x}, {scene}", "{role} {x}", "feeling {x}", "like this: {x}", "{x} {scene}")
_OTHER = ("{x}", "{x}", "{x} {role}", "{role} {x}", "{x}, {scene}")
_EAST_ASIAN = ("{x}", "我很{x}", "他很{x}", "非常{x}", "{x}地说", "{x}的老师", "とても{x}", "{x}声で", "{x}先生",
               "{x}です")  # fmt: skip


@dataclass(frozen=True)
class Words:
    """One style's words of one split; each group may be empty."""

    mild: tuple[str, ...]
    plain: tuple[str, ...]
    strong: tuple[str, ...]
    adverbs: tuple[str, ...]
    nouns: tuple[str, ...]
    acts: tuple[str, ...]
    phrases: tuple[str, ...]
    other: tuple[str, ...]

    def all(self) -> tuple[str, ...]:
        """Every word and phrase."""
        return tuple(w for group in vars(self).values() for w in group)


@cache
def words(style: str, split: str = "train") -> Words:
    """The words of ``style``; ``split`` is ``train`` or ``held_out`` (never seen by the encoder's training).

    Raises:
        ValueError: if the style or the split is unknown.
    """
    if style not in RAW:
        raise ValueError(f"style must be one of {', '.join(STYLES)}, got {style!r}")
    if split not in ("train", "held_out"):
        raise ValueError(f"split must be 'train' or 'held_out', got {split!r}")
    groups = {}
    for group, text in RAW[style].items():
        entries = [e.strip() for e in (text.split(",") if group in ("acts", "phrases") else text.split())]
        groups[group] = tuple(e.rstrip("*") for e in entries if e and e.endswith("*") == (split == "held_out"))
    return Words(**groups)


@cache
def lexicon(split: str = "train") -> dict[str, str]:
    """Word or phrase -> style.

    Raises:
        ValueError: if the table lists a word under two styles.
    """
    table: dict[str, str] = {}
    for style in STYLES:
        for word in words(style, split).all():
            if table.setdefault(word, style) != style:
                raise ValueError(f"{word!r} is listed under {table[word]} and {style}: a word belongs to one style")
    return table


def level_of(intensity: float) -> str | None:
    """``slight``, ``medium`` or ``strong`` for an intensity in [0, 1]; None below 0.1, where words say nothing."""
    if not 0.0 <= intensity <= 1.0:
        raise ValueError(f"intensity must lie in [0, 1], got {intensity}")
    if intensity < 0.1:
        return None
    return "slight" if intensity < 0.45 else "medium" if intensity < 0.8 else "strong"


def _pick(rng: np.random.Generator, options: tuple[str, ...] | list[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _article(phrase: str) -> str:
    if phrase.startswith(("a ", "an ")):
        return phrase
    return f"{'an' if phrase[:1] in 'aeiou' else 'a'} {phrase}"


def _fill(template: str, phrase: str, rng: np.random.Generator) -> str:
    text = template.format(x=phrase, ax=_article(phrase), role=_pick(rng, ROLES), scene=_pick(rng, SCENES),
                           trait=_pick(rng, _TRAITS))  # fmt: skip
    return text + _pick(rng, ("", "", "", "", ".", "!", "..."))


def sample_prompt(style: str, intensity: float, rng: np.random.Generator, split: str = "train") -> str:
    """A prompt as a user might write it, e.g. ``a cheerful host``, ``very happy``, ``speaking with deep sorrow``.

    Args:
        style: one of :data:`STYLES`.
        intensity: [0, 1]; it is told by adverbs and by the choice of words in three levels, see :func:`level_of`.
            Below 0.1 the prompt is a neutral one.
        rng: source of the choice.
        split: ``held_out`` takes the words that the encoder was not trained on.
    """
    level = level_of(intensity)
    if level is None:
        style, level = "neutral", "medium"
    if style == "neutral":
        level = "medium"
    w = words(style, split)
    makers = {"adjective": 6.0 if w.plain or w.mild or w.strong else 0.0, "adverb": 2.0 if w.adverbs else 0.0,
              "noun": 2.0 if w.nouns else 0.0}  # fmt: skip
    if level == "medium":
        makers |= {"act": 1.2 * bool(w.acts), "phrase": 1.2 * bool(w.phrases), "other": 1.0 * bool(w.other)}
    names, weights = zip(*makers.items(), strict=True)
    total = sum(weights)
    kind = names[int(rng.choice(len(names), p=[p / total for p in weights]))]
    degree = _pick(rng, _DEGREES[level])
    if kind == "adjective":
        loaded = {"slight": w.mild, "medium": (), "strong": w.strong}[level]
        if loaded and (rng.random() < 0.5 or not w.plain):
            phrase = _pick(rng, loaded) if rng.random() < 0.6 else f"{degree} {_pick(rng, loaded)}"
        else:
            phrase = f"{degree} {_pick(rng, w.plain or loaded or w.mild or w.strong)}".strip()
        return _fill(_pick(rng, _ADJECTIVE), phrase, rng)
    if kind == "adverb":
        return _fill(_pick(rng, _ADVERB), f"{degree} {_pick(rng, w.adverbs)}".strip(), rng)
    if kind == "noun":
        return _fill(_pick(rng, _NOUN), f"{_pick(rng, _AMOUNTS[level])} {_pick(rng, w.nouns)}".strip(), rng)
    options, templates = {"act": (w.acts, _ACT), "phrase": (w.phrases, _PHRASE), "other": (w.other, _OTHER)}[kind]
    phrase = _pick(rng, options)
    if "\u3040" <= phrase[0] <= "\u9fff":  # kana and Chinese characters, which stand without spaces
        templates = _EAST_ASIAN
    return _fill(_pick(rng, templates), phrase, rng)


CAPTION_INTENSITIES: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
CAPTIONS_EACH = 24


@cache
def captions(seed: int = 0) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """The prompts that motion is captioned with in training: (styles, intensities, CAPTIONS_EACH) texts.

    In the order of :data:`STYLES` and :data:`CAPTION_INTENSITIES`. A word of :func:`lexicon` that none of them holds is
    one that the style encoder knows and the motion generator was never shown.
    """
    import numpy as np

    rng = np.random.default_rng(seed)

    def some(style: str, intensity: float) -> tuple[str, ...]:
        return tuple(sample_prompt(style, intensity, rng) for _ in range(CAPTIONS_EACH))

    return tuple(tuple(some(style, level) for level in CAPTION_INTENSITIES) for style in STYLES)


# Which style an emoji shows, and how strongly; keyed by codepoint as in faces.json.
_EMOJI = {
    "happy": "1f600:.9 1f603:.9 1f604:.9 1f601:.9 1f606:1 1f923:1 1f602:1 1f642:.3 1f60a:.7 263a:.6 1f970:.8 1f917:.8 "
    "1f920:.8 1f63a:.8 1f638:.9 1f639:1 1f913:.7",
    "excited": "1f929:1 1f973:1 1f60d:.9 1f63b:.9",
    "sad": "1f614:.6 1f641:.4 2639:.7 1f622:.8 1f62d:1 1f625:.7 1f61e:.7 1f613:.6 1f63f:.9 1f97a:.5",
    "angry": "1f624:.9 1f621:1 1f620:.8 1f92c:1 1f47f:.9 1f63e:.8 1f479:1",
    "surprised": "1f62e:.7 1f62f:.6 1f632:.9 1f633:.7 1fae2:.7 1f640:1",
    "afraid": "1f628:.9 1f630:.8 1f631:1 1f627:.7 1f626:.6 1f61f:.5",
    "disgusted": "1f922:.8 1f92e:1",
    "contemptuous": "1f60f:.7 1f612:.7 1f644:.8 1f63c:.7 1f928:.5",
    "calm": "1f60c:.8 1f607:.7",
    "tired": "1f62a:.7 1f634:.9 1fae9:.8 1f629:.9 1f62b:1",
    "confused": "1f615:.6 1fae4:.6 1f974:.8",
    "thoughtful": "1f914:.8 1f9d0:.7",
    "playful": "1f609:.6 1f61b:.8 1f61c:1 1f92a:1 1f61d:1 1f60b:.7 1f643:.6 1f921:.9 1f608:.8 1f47b:.9 1f92d:.6",
    "bored": "1f611:.7 1f971:.9",
    "neutral": "1f610:0 1f636:0 1f916:0 1f47d:0 1fae1:0 1f910:0 1fae5:0",
}
EMOJI: dict[str, tuple[str, float]] = {
    code: (style, float(value)) for style, row in _EMOJI.items() for code, value in (e.split(":") for e in row.split())
}
"""Codepoint -> (style, intensity in [0, 1]) for the emoji that show one."""

EMOJI_WITHOUT_STYLE: frozenset[str] = frozenset(
    "1f605 1fae0 1f618 1f617 1f61a 1f619 1f972 1f911 1fae3 1f92b 1f62c 1f925 1fae8 1f924 1f637 1f912 1f915 1f927 1f975 "
    "1f976 1f635 1f978 1f60e 1f979 1f616 1f623 1f480 1f4a9 1f63d 1f648 1f649 1f64a 1f926".split()
)
"""Faces of illness, kisses, mixed feelings and things: none of the fifteen, used neither in training nor in scores."""

HELD_OUT_EMOJI: frozenset[str] = frozenset(
    "1f604 1f638 1f60a 1f61e 1f63f 1f620 1f62f 1f630 1f63c 1f62b 1f61c 1f61d 1f63b 1fae4 1f636".split()
)
"""Emoji with a style that are never trained on."""


def emoji_words() -> dict[str, str]:
    """Each emoji with a style as the words that a prompt reads it as: 😡 is "very angry", 🙂 "slightly happy"."""
    degree = {None: "", "slight": "slightly ", "medium": "", "strong": "very "}
    return {chr(int(code, 16)): degree[level_of(value)] + style for code, (style, value) in EMOJI.items()}


def nearest_style(codepoint: str) -> tuple[str, float] | None:
    """(style, intensity) that an emoji shows, or None where it shows none of the fifteen.

    Raises:
        ValueError: if the emoji is not one of the 122.
    """
    if codepoint in EMOJI:
        return EMOJI[codepoint]
    if codepoint in EMOJI_WITHOUT_STYLE:
        return None
    raise ValueError(f"expected the codepoint of one of the {len(EMOJI) + len(EMOJI_WITHOUT_STYLE)} face emoji, "
                     f"such as '1f600', got {codepoint!r}")  # fmt: skip
