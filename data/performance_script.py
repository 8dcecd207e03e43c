"""Scripts: what a face does when, performed with variation. Everything made here is synthetic, and its clips say so.

    python -m media2face.data.performance_script SCRIPT.yaml --out FOLDER [--takes N]
    python -m media2face.data.performance_script --corpus N --out FOLDER        # N random scripts

A script is YAML (or JSON):

    style: happy            # one of the fifteen, default neutral
    intensity: 0.6          # of the style
    duration: 8             # seconds; default: until the last event is over
    voice: en-gb+f2         # espeak-ng's, for say and sing
    events:
      - {at: 0.5, act: nod, intensity: 0.8}            # duration is drawn where it is not given
      - {at: 2.0, say: "hello there"}
      - {at: 4.0, sing: "la la la", notes: [C4, E4, "G4 1.0"]}
      - {at: 7.0, act: laugh, duration: 2}

Each take has a seed of its own: another performer, other sizes, tempos and sides. Acts of the mouth (yawn, chew, laugh)
make no sound here, so a clip with them alone has no sound, and they may not overlap words.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from media2face.data import performance_living as living
from media2face.data.acts import ACTS, make_act
from media2face.data.clips import MotionClip
from media2face.data.extraction.pipeline import hash_split
from media2face.data.performance import close_lids, draw_style, perform
from media2face.data.performance_prosody import FPS, SAMPLE_RATE
from media2face.data.performance_styles import look
from media2face.data.singing import MELODIES, Voiced, parse_note, say, sing
from media2face.data.visemes import Articulation
from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.errors import ConfigError
from media2face.runtime.eyes import eye_angles

LEAD_S, TAIL_S = 0.3, 0.4
MAX_SECONDS = 120.0
_EYES = np.array([n.startswith("eyeLook") for n in ARKIT_NAMES])
CORPUS_VOICES = ("en-gb+m3", "en-us+f2", "de+m4", "es+f3", "fr-fr+m2", "it+f4", "pt+m1", "sv+f1", "pl+m5", "nl+f5")
SONGS = ("la la la la", "do re mi fa so", "oh my darling", "sing a song with me", "mama mia", "na na na hey",
         "row the boat along", "moon and sun and sea")  # fmt: skip


@dataclass(frozen=True)
class Event:
    """One thing that happens: an act, words said, or words sung.

    Attributes:
        at: start in s. act, say, sing: exactly one of them. notes: of the song. intensity: in (0, 1].
        duration: of an act, s; None is drawn.
    """

    at: float
    act: str = ""
    say: str = ""
    sing: str = ""
    notes: tuple[str, ...] = ()
    intensity: float = 0.8
    duration: float | None = None

    def __post_init__(self) -> None:
        if sum(map(bool, (self.act, self.say, self.sing))) != 1:
            raise ConfigError(f"expected an event with one of act, say, sing; got {self}")
        if self.act and self.act not in ACTS:
            raise ConfigError(f"expected an act of {', '.join(ACTS)}, got {self.act!r}")
        if not 0 <= self.at <= MAX_SECONDS or not 0 < self.intensity <= 1:
            raise ConfigError(f"expected at in [0, {MAX_SECONDS:g}] s and intensity in (0, 1], got {self}")
        if self.duration is not None and not (self.act and 0.3 <= self.duration <= 20):
            raise ConfigError(f"expected a duration of 0.3 to 20 s, of an act only; got {self}")
        if bool(self.notes) and not self.sing:
            raise ConfigError(f"expected notes only with sing, got {self}")


@dataclass(frozen=True)
class Script:
    """What happens, in order; see the module's text."""

    events: tuple[Event, ...]
    style: str = "neutral"
    intensity: float = 0.7
    duration: float | None = None
    voice: str = "en-gb+m3"
    name: str = field(default="script")

    def __post_init__(self) -> None:
        look(self.style)
        if not 0 <= self.intensity <= 1:
            raise ConfigError(f"expected an intensity in [0, 1], got {self.intensity}")
        if self.duration is not None and not 0.5 <= self.duration <= MAX_SECONDS:
            raise ConfigError(f"expected a duration of 0.5 to {MAX_SECONDS:g} s, got {self.duration}")
        if not self.events and self.duration is None:
            raise ConfigError("expected events, or a duration in which nothing happens")

    @classmethod
    def read(cls, path: str | Path) -> Script:
        """A script from a YAML or JSON file.

        Raises:
            ConfigError: naming what is not understood.
        """
        path = Path(path)
        try:
            text = path.read_text()
            if path.suffix == ".json":
                values = json.loads(text)
            else:
                values = _yaml(text, path)
        except OSError as error:
            raise ConfigError(f"{path} is not a readable script: {error}") from error
        except ValueError as error:
            raise ConfigError(f"{path} is not JSON: {error}") from error
        if not isinstance(values, dict) or not isinstance(values.get("events", []), list):
            raise ConfigError(f"{path}: expected keys with values and a list of events")
        try:
            events = tuple(Event(**e | {"notes": tuple(e.get("notes", ()))}) for e in values.pop("events", []))
            return cls(events=events, **{"name": path.stem} | values)
        except (TypeError, AttributeError) as error:
            raise ConfigError(f"{path}: {error}") from error


def _yaml(text: str, path: Path) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error


@dataclass(frozen=True)
class ScriptedTake:
    """A performed script: the clip, its sound (n,) at 16 kHz or None."""

    clip: MotionClip
    audio: np.ndarray | None


def perform_script(script: Script, seed: int = 0, split: str | None = None) -> ScriptedTake:
    """One take of a script.

    Args:
        seed: another one, another performer. split: of the clip; None: by a hash of the script's name.

    Raises:
        ConfigError: if acts of the mouth and words overlap. InputError: if the voice cannot speak.
    """
    rng = np.random.default_rng([seed, 17])
    voiced = [(e, _voice(e, script.voice)) for e in script.events if not e.act]
    lengths = {id(e): e.duration or float(rng.uniform(*ACTS[e.act][1])) for e in script.events if e.act}
    spans = [(e.at, e.at + lengths[id(e)], e.act) for e in script.events if e.act]
    words = [(e.at, e.at + v.seconds, "say" if e.say else "sing") for e, v in voiced]
    _check_overlaps(spans, words)
    latest = max((end for _, end, _ in spans + words), default=0.0)
    seconds = script.duration or latest + TAIL_S
    if seconds < latest or seconds > MAX_SECONDS:
        raise ConfigError(f"the events need {latest:.1f} s, the script has {seconds:.1f} (at most {MAX_SECONDS:g})")
    frames = int(np.ceil(seconds * FPS - 1e-6))
    audio, phones = _sound(voiced, seconds)
    speaker = Articulation.draw(rng)
    if any(kind == "sing" for *_, kind in words):
        speaker = speaker.scaled(1.2)  # sung vowels are opened further
    base = perform(phones, seconds, audio, script.style, script.intensity, seed, speaker)
    weights, rotation = base.weights.astype(np.float64), Rotation.from_rotvec(base.head_rotvec)
    extra = np.zeros((frames, 3))
    for event in (e for e in script.events if e.act):
        first = min(round(event.at * FPS), frames - 6)
        length = int(np.clip(round(lengths[id(event)] * FPS), 6, frames - first))
        act = make_act(event.act, length, event.intensity, rng)
        part = slice(first, first + length)
        weights[part] = np.maximum(weights[part] * (1 - act.owns), act.weights)
        weights[part] = close_lids(np.clip(weights[part], 0, 1), act.closure)
        extra[part] += act.head
    roll, pitch, yaw = np.radians(extra).T
    moved = rotation * Rotation.from_euler("ZYX", np.stack([yaw, pitch, roll], axis=1))
    _hold_gaze(weights, extra)
    marks = sorted(spans + [(s, e, "sing" if kind == "sing" else "talk") for s, e, kind in words])
    clip = MotionClip(
        weights=np.clip(weights, 0, 1), speaker=f"script-{script.voice}", source="synthetic",
        split=split or hash_split(script.name), head_rotvec=moved.as_rotvec(),
        head_translation=base.head_translation + living.neck_travel(roll, pitch), head_valid=True,
        style=script.style, intensity=base.intensity if script.style != "neutral" else 0.0, has_audio=audio is not None,
        phones_start=[p[0] for p in phones], phones_end=[p[1] for p in phones], phones_label=[p[2] for p in phones],
        events_start=[m[0] for m in marks], events_end=[m[1] for m in marks],
        events_label=np.array([m[2] for m in marks], dtype=np.str_), take=f"{script.name}-{seed}",
    )  # fmt: skip
    return ScriptedTake(clip, audio)


def _voice(event: Event, voice: str) -> Voiced:
    if event.say:
        return say(event.say, voice)
    return sing(event.sing, [parse_note(n) for n in event.notes or MELODIES[0].split()], voice)


def _check_overlaps(spans: list, words: list) -> None:
    mouths = [s for s in spans if ACTS[s[2]][2]] + words
    mouths.sort()
    for (_, end, a), (start, _, b) in zip(mouths[:-1], mouths[1:], strict=True):
        if start < end - 1e-6:
            raise ConfigError(f"{b} at {start:g} s begins before {a} is over ({end:.2f} s): both need the mouth")


def _sound(voiced: list[tuple[Event, Voiced]], seconds: float) -> tuple[np.ndarray | None, list]:
    """The words in their places: sound (n,), or None without words; phones without gaps."""
    phones: list[tuple[float, float, str]] = []
    audio = np.zeros(round(seconds * SAMPLE_RATE), np.float32) if voiced else None
    now = 0.0
    for event, said in sorted(voiced, key=lambda x: x[0].at):
        if event.at > now:
            phones.append((now, event.at, "sil"))
        first = round(event.at * SAMPLE_RATE)
        audio[first : first + len(said.samples)] += said.samples[: len(audio) - first]
        phones += [(s + event.at, e + event.at, p) for s, e, p in said.phones]
        now = phones[-1][1]
    if now < seconds:
        phones.append((now, seconds, "sil"))
    return audio, phones


def _hold_gaze(weights: np.ndarray, extra: np.ndarray) -> None:
    """Turn the eyes (in place) against what the acts add to the head (T, 3) degrees, so that they stay on target."""
    now = np.degrees((eye_angles(weights, "left") + eye_angles(weights, "right")) / 2)
    turned = living.eye_weights(now, extra[:, [2, 1]])
    moving = np.abs(extra[:, 1:]).max(axis=1) > 0.05
    weights[np.ix_(moving, np.flatnonzero(_EYES))] = turned[moving][:, _EYES]


def random_script(number: int, seed: int = 0) -> Script:
    """A script of a corpus: one to three acts, or a song with or without an act beside it."""
    rng = np.random.default_rng([seed, 23, number])
    style, intensity = draw_style(rng) if rng.random() < 0.5 else ("neutral", 0.7)
    voice = str(rng.choice(CORPUS_VOICES))
    power = lambda: float(round(rng.uniform(0.35, 1.0), 2))  # noqa: E731
    kinds = list(ACTS)
    if number % 3 == 2:
        melody = str(rng.choice(MELODIES)).split()
        notes = tuple(f"{n} {rng.uniform(0.3, 0.9):.2f}" for n in melody)
        events = [Event(at=float(rng.uniform(0.3, 0.8)), sing=str(rng.choice(SONGS)), notes=notes)]
        free = [k for k in kinds if not ACTS[k][2]]
        if rng.random() < 0.5:
            events.append(Event(at=float(rng.uniform(0.5, 1.5)), act=str(rng.choice(free)), intensity=power()))
        return Script(tuple(events), style, intensity or 0.7, None, voice, f"song-{number:05d}")
    events, now = [], float(rng.uniform(0.2, 0.8))
    for k in range(int(rng.integers(1, 4))):
        kind = kinds[number % len(kinds)] if k == 0 else str(rng.choice(kinds))
        length = float(round(rng.uniform(*ACTS[kind][1]), 2))
        events.append(Event(at=round(now, 2), act=kind, intensity=power(), duration=length))
        now += length + float(rng.uniform(-0.2 if not ACTS[kind][2] else 0.1, 0.9))
        now = max(now, events[-1].at + (length if ACTS[kind][2] else 0.3))
        if now > 9:
            break
    mouth = 0.0
    kept = []
    for e in events:  # acts of the mouth one after the other
        if ACTS[e.act][2]:
            if e.at < mouth:
                continue
            mouth = e.at + e.duration
        kept.append(e)
    return Script(tuple(kept), style, intensity or 0.7, None, voice, f"act-{number:05d}")


def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's text."""
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("script", type=Path, nargs="*", help="YAML or JSON scripts")
    parser.add_argument("--corpus", type=int, default=0, metavar="N", help="perform N random scripts")
    parser.add_argument("--out", type=Path, required=True, help="folder for the motion clips")
    parser.add_argument("--takes", type=int, default=1, help="performances of each script")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if not options.script and not options.corpus:
        parser.error("give a script, or --corpus N")
    scripts = [Script.read(p) for p in options.script]
    jobs = [(s, k) for s in scripts for k in range(options.takes)]
    jobs += [(random_script(i, options.seed), k) for i in range(options.corpus) for k in range(options.takes)]
    for script, take in tqdm(jobs, "scripts", unit="take"):
        path = options.out / script.name.split("-")[0] / f"{script.name}-{take}.npz"
        if not path.is_file():
            made = perform_script(script, options.seed * 1000 + take)
            made.clip.save(path, made.audio)


if __name__ == "__main__":
    main()
