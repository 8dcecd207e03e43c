"""The five levels of text by rules, with varied wording: what a language model would be asked to write, without one.

Everything said comes from the motion: units with their intensities, head angles (table A), labels where the clip has
them. Where it has no label of emotion, a face that matches an EMFACS combination names one, else it is neutral; which
of the two it was is kept (``emotion_known``).
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, field

import numpy as np

from media2face.data.annotation import wording
from media2face.data.annotation.action_units import UNITS, unit_intensities
from media2face.data.annotation.timeline import Event, pose_events, rhythm_events, swing_events, unit_events
from media2face.data.clips import MotionClip
from media2face.data.styles import STYLES, level_of
from media2face.runtime.arkit import ARKIT_INDEX

LEVELS = ("action", "emotion", "expression", "head_pose", "scenarios")
MOST_EVENTS = 9
"""Events told in one text; the weakest and shortest beyond are left out."""
# EMFACS: units of each emotion; the first group must all show, each of the second adds
_EMFACS = {
    "happy": (("6", "12"), ()),
    "surprised": (("1", "2", "5"), ("26", "27")),
    "afraid": (("1", "4", "5", "20"), ("2",)),
    "sad": (("1", "15"), ("4", "17", "64")),
    "angry": (("4", "7"), ("5", "24", "9")),
    "disgusted": (("9",), ("15", "16", "4", "10")),
}
_SHOWN = 0.22
_SMILE = (ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["mouthSmileRight"])
_ONE_SIDED = {"rise": "rises", "lift": "lifts", "pull up": "pulls up", "draw down and together": "draws down",
              "tighten into dimples": "tightens into a dimple"}  # fmt: skip


@dataclass(frozen=True)
class Texts:
    """The five levels and what they were made from.

    Attributes:
        actions: labels in order of time. emotion_label: one of STYLES; emotion_known: told by the source, not guessed.
        written_by: level -> "rules" or the name of the model.
    """

    action: str
    emotion: str
    expression: str
    head_pose: str
    scenarios: tuple[str, str, str]
    actions: tuple[str, ...]
    emotion_label: str
    emotion_known: bool
    written_by: dict[str, str] = field(default_factory=lambda: dict.fromkeys(LEVELS, "rules"))

    def record(self) -> dict:
        """Plain values for JSON."""
        return asdict(self) | {"scenarios": list(self.scenarios), "actions": list(self.actions)}


def find_emotion(clip: MotionClip) -> tuple[str, bool]:
    """(style, known): the clip's own label, or what the face shows most of the time."""
    if clip.source == "synthetic" or clip.style != "neutral":
        return clip.style if clip.style in STYLES else "neutral", True
    shown = unit_intensities(clip.weights, clip.weights_valid)
    if "6" not in shown and "12" in shown:
        shown["6"] = np.where(shown["12"] > 0.35, shown["12"], 0.0)  # tracking does not see the cheeks
    best, most = "neutral", _SHOWN
    for emotion, (needed, more) in _EMFACS.items():
        if all(u in shown for u in needed):
            together = np.min([shown[u] for u in needed], axis=0)
            if emotion in ("sad", "angry", "disgusted") and "12" in shown:
                together = np.where(shown["12"] > 0.3, 0.0, together)
            score = float(np.median(together)) + 0.25 * sum(float(np.median(shown[u])) for u in more if u in shown)
            score += 0.25 * (emotion == "afraid")  # surprise is part of it
            if np.median(together) > 0.12 and score > most:
                best, most = emotion, score
    one_sided = abs(float(np.median(clip.weights[:, _SMILE[0]] - clip.weights[:, _SMILE[1]])))
    if best == "neutral" and one_sided > 0.3:
        best = "contemptuous"
    return best, False


def find_actions(clip: MotionClip, units: list[Event], swings: list[Event], speaking: bool) -> tuple[str, ...]:
    """Action labels in order of time: the clip's own events, or what its motion and sound show."""
    if clip.events_label is not None and len(clip.events_label):
        own = [str(x) for x in clip.events_label]
        if clip.phones_label is not None and any(str(p) != "sil" for p in clip.phones_label) and "sing" not in own:
            own.insert(0, "talk")
        return tuple(dict.fromkeys(own))
    found = [(-1.0, "talk")] if speaking else []
    found += [(e.start, e.label) for e in swings if e.strength > (6.0 if speaking else 3.0)]
    rhythms = [] if speaking else rhythm_events(clip.weights)
    found += [(e.start, e.label) for e in rhythms]
    laughing = any(e.label == "laugh" for e in rhythms)
    for e in units:
        if e.label in ("46L", "46R") and e.seconds < 1.2:
            found.append((e.start, "wink"))
        elif e.label == "45" and e.seconds > 0.8:
            found.append((e.start, "close eyes"))
        elif e.label == "12" and not laughing and e.seconds > 0.8 and e.strength >= 3 and not e.side:
            found.append((e.start, "smile"))
        elif e.label == "4" and e.seconds > 0.8 and e.strength >= 4:
            found.append((e.start, "frown"))
        elif e.label == "27" and e.seconds > 1.0 and not speaking:
            found.append((e.start, "yawn"))
    if not found:
        found = [(0.0, "make a face" if any(e.strength >= 3 and e.label != "45" for e in units) else "rest")]
    return tuple(dict.fromkeys(label for _, label in sorted(found)))


def annotate(clip: MotionClip, key: str, speaking: bool | None = None, seed: int = 0) -> Texts:
    """The texts of a clip.

    Args:
        key: the clip's name; it and the seed choose the wording.
        speaking: whether somebody speaks; None: as the phones say, or whether there is sound.
    """
    if speaking is None:
        said = clip.phones_label is not None and any(str(p) != "sil" for p in clip.phones_label)
        speaking = said if clip.phones_label is not None else clip.has_audio
    rng = np.random.default_rng([seed, zlib.crc32(key.encode())])
    units = unit_events(clip.weights, clip.weights_valid, speaking)
    head = clip.head_rotvec if clip.head_valid else np.zeros_like(clip.head_rotvec)
    poses, swings = pose_events(head), swing_events(head)
    emotion, known = find_emotion(clip)
    actions = find_actions(clip, units, swings, speaking)
    strength = clip.intensity if known and clip.style != "neutral" else 0.65
    bank = wording.SCENARIOS[emotion]
    chosen = rng.choice(len(bank), 3, replace=False)
    return Texts(
        action=_action_text(actions, speaking, rng),
        emotion=_emotion_text(emotion, strength, speaking, rng),
        expression=_expression_text(units, clip.duration, rng),
        head_pose=_pose_text(poses, swings, clip.duration, rng) if clip.head_valid else "The head was not measured.",
        scenarios=tuple(bank[i] for i in chosen),
        actions=actions,
        emotion_label=emotion,
        emotion_known=known,
    )


def _pick(rng: np.random.Generator, options) -> str:
    return str(options[int(rng.integers(len(options)))])


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _action_text(actions: tuple[str, ...], speaking: bool, rng: np.random.Generator) -> str:
    subject = _pick(rng, wording.SUBJECTS if speaking else wording.SILENT_SUBJECTS)
    said = [_pick(rng, wording.ACTIONS[a]) for a in actions[:4]]
    if len(said) == 1:
        return f"{subject} {said[0]}."
    joiners = [_pick(rng, (", then ", " and then ", ", and after that ")) for _ in said[1:]]
    return f"{subject} {said[0]}" + "".join(j + s for j, s in zip(joiners, said[1:], strict=True)) + "."


def _emotion_text(emotion: str, strength: float, speaking: bool, rng: np.random.Generator) -> str:
    named = {None: 1, "slight": 0, "medium": 1, "strong": 2}[level_of(strength)]
    degree = "" if emotion == "neutral" else _pick(rng, wording.DEGREES[named])
    subject = _pick(rng, wording.SUBJECTS if speaking else wording.SILENT_SUBJECTS)
    return _pick(rng, wording.EMOTION_FRAMES).format(s=subject, a=degree, e=_pick(rng, wording.EMOTIONS[emotion]))


def _order(events: list[Event]) -> list[Event]:
    """The events worth telling, in order of time."""
    worth = sorted(events, key=lambda e: -(e.strength * (1 + min(e.seconds, 3.0))))[:MOST_EVENTS]
    return sorted(worth, key=lambda e: e.start)


def _when(start: float, end: float, duration: float, index: int, count: int, rng: np.random.Generator) -> str:
    if end - start > 0.85 * duration:
        return _pick(rng, wording.WHOLE)
    if index == 0:
        return _pick(rng, wording.FIRST) if start < 0.3 * duration else f"After {start:.1f} seconds, "
    if index == count - 1 and start > 0.6 * duration:
        return _pick(rng, wording.LAST)
    return _pick(rng, wording.THEN)


def _unit_phrase(event: Event, rng: np.random.Generator) -> str:
    unit = UNITS[event.label]
    amount = "" if event.label.startswith("46") else " " + _pick(rng, wording.AMOUNTS[int(event.strength)])
    subject, verb = unit.subject, unit.verb
    if event.side:
        singular = {"brows": "brow", "outer brows": "outer brow", "cheeks": "cheek", "lip corners": "lip corner"}
        if subject in singular:
            subject, verb = singular[subject], _ONE_SIDED.get(verb, verb)
        subject = f"{event.side} {subject}" if subject != "upper lip" else f"{event.side} side of the upper lip"
    verb_first, _, rest = verb.partition(" ")
    return f"the {subject} {verb_first}{' ' + rest if rest else ''}{amount}"


def _expression_text(units: list[Event], duration: float, rng: np.random.Generator) -> str:
    blinks = [e for e in units if e.label == "45" and e.seconds < 0.6]
    told = _order([e for e in units if e not in blinks])
    groups: list[list[Event]] = []
    for event in told:
        if groups and event.start - groups[-1][0].start < 0.35 and len(groups[-1]) < 4:
            groups[-1].append(event)
        else:
            groups.append([event])
    lines = []
    for i, group in enumerate(groups):
        phrases = _join([_unit_phrase(e, rng) for e in group])
        end = max(e.end for e in group)
        lines.append(_sentence(_when(group[0].start, end, duration, i, len(groups), rng) + phrases))
    if blinks:
        count = len(blinks)
        n = wording.TIMES.get(count, f"{count} times")
        phrase = _pick(rng, wording.BLINKS).format(
            n=n, are="is" if count == 1 else "are", n_blinks="one blink" if count == 1 else f"{count} blinks"
        )
        lines.append(_sentence(phrase))
    return " ".join(lines) or _pick(rng, wording.STILL)


def _pose_text(poses: list[Event], swings: list[Event], duration: float, rng: np.random.Generator) -> str:
    swings = [e for e in swings if e.strength >= 3]
    events = sorted([*_order(poses), *swings], key=lambda e: e.start)
    if not events:
        return _pick(rng, wording.STRAIGHT)
    lines = []
    for i, event in enumerate(events):
        phrase = _pick(rng, wording.POSE_PHRASES[event.label])
        many = 6.0 if event.label in ("nod", "shake") else 15.0
        few = 4.0 if event.label in ("nod", "shake") else 7.0
        amount = " slightly" if event.strength < few else " far" if event.strength > many else ""
        degrees = "" if event.label in ("nod", "shake") else f", by about {event.strength:.0f} degrees"
        when = _when(event.start, event.end, duration, i, len(events), rng)
        lines.append(_sentence(when + phrase + amount + degrees))
    if events[-1].end < duration - 0.5 and events[-1].label not in ("nod", "shake"):
        lines.append(_pick(rng, ("Then it returns to the front.", "Afterwards it is straight again.",
                                 "It comes back to the middle.")))  # fmt: skip
    return " ".join(lines)
