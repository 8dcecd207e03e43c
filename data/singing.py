"""Voices for scripts: words said by espeak-ng, and sung: vowels stretched to notes, the pitch drawn as a melody.

Singing is made from speech with the WORLD vocoder (Morise et al. 2016, package pyworld): consonants keep their
length, each vowel lasts to the end of its note, pitch follows the notes with glides and vibrato. It is a synthesiser's
song: the phones and notes are exact, the voice is no singer's.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from media2face.data.phones import VOWELS
from media2face.data.synthetic_speech import claim_closures, espeak_phones, tidy
from media2face.runtime.errors import ConfigError, InputError

RATE = 16_000
_STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_NOTE = re.compile(r"([A-G])([#b]?)(-?\d)")
_FRAME_MS = 5.0
_GLIDE_S, _VIBRATO_HZ, _VIBRATO_CENTS = 0.06, 5.6, 35.0
MELODIES = (
    "C4 D4 E4 G4 E4 D4 C4", "G4 E4 G4 E4 A4 G4 E4", "C4 C4 G4 G4 A4 A4 G4", "E4 D4 C4 D4 E4 E4 E4",
    "A3 C4 E4 D4 C4 B3 A3", "F4 A4 C5 A4 F4 G4 F4",
)  # fmt: skip


@dataclass(frozen=True)
class Voiced:
    """Sound (n,) float32 at 16 kHz and its phones (start s, end s, class), from 0 to the sound's end."""

    samples: np.ndarray
    phones: tuple[tuple[float, float, str], ...]

    @property
    def seconds(self) -> float:
        """Length."""
        return len(self.samples) / RATE


@dataclass(frozen=True)
class Note:
    """A pitch in Hz and a length in s."""

    hertz: float
    seconds: float


def parse_note(text: str, seconds: float = 0.5) -> Note:
    """``"A4"``, ``"C#5 0.75"`` (name, octave, length in s).

    Raises:
        ConfigError: for anything else.
    """
    name, *rest = str(text).split()
    match = _NOTE.fullmatch(name)
    try:
        length = float(rest[0]) if rest else seconds
    except ValueError:
        match = None
        length = seconds
    if not match or len(rest) > 1 or not 0.1 <= length <= 8:
        raise ConfigError(f"expected a note like 'A4' or 'C#5 0.75' (0.1 to 8 s), got {text!r}")
    step = _STEPS[match[1]] + {"#": 1, "b": -1, "": 0}[match[2]] + 12 * (int(match[3]) + 1)
    hertz = 440.0 * 2 ** ((step - 69) / 12)
    if not 60 <= hertz <= 1100:
        raise ConfigError(f"expected a note between C2 and C6, got {text!r}")
    return Note(hertz, length)


def say(text: str, voice: str = "en-gb+m3", rate: int = 160, pitch: int = 50) -> Voiced:
    """Words said by espeak-ng.

    Raises:
        InputError: if espeak-ng is not installed, or says nothing.
    """
    with tempfile.TemporaryDirectory() as folder:
        wave = Path(folder) / "said.wav"
        request = {"voice": voice, "rate": rate, "pitch": pitch, "text": text, "wave": str(wave)}
        program = [sys.executable, str(Path(__file__).with_name("espeak_events.py"))]
        result = subprocess.run(program, input=json.dumps(request) + "\n", capture_output=True, text=True, timeout=120)
        if result.returncode:
            raise InputError(f"espeak-ng did not speak: {result.stderr.strip().splitlines()[-1:] or 'no reason given'}")
        answer = json.loads(result.stdout)
        samples, rate_found = soundfile.read(wave, dtype="float32")
    if len(samples) < RATE // 20 or not np.abs(samples).max() > 0:
        raise InputError(f"expected words that the voice {voice!r} can say, got {text!r}")
    samples = soxr.resample(samples, rate_found, RATE) if rate_found != RATE else samples
    samples = samples * (10 ** (-22 / 20) / max(1e-4, float(np.sqrt(np.mean(samples**2)))))
    samples = np.clip(samples, -1, 1).astype(np.float32)
    timed = claim_closures(samples, espeak_phones(answer, voice.split("+")[0]))
    return Voiced(samples, tuple((s, e, p) for s, e, p in tidy(timed, len(samples) / RATE)))


def sing(text: str, notes: list[Note], voice: str = "en-gb+m3") -> Voiced:
    """Words sung on notes: one note for each vowel, over again if there are more vowels than notes.

    Raises:
        ConfigError: if there are no notes, or pyworld is missing. InputError: as of `say`, or without any vowel.
    """
    try:
        import pyworld
    except ImportError as error:
        raise ConfigError(f"singing needs the package pyworld ([data] extra): {error}") from error
    if not notes:
        raise ConfigError("expected notes to sing")
    spoken = say(text, voice, rate=140)
    x = spoken.samples.astype(np.float64)
    f0, times = pyworld.harvest(x, RATE, f0_floor=60.0, f0_ceil=600.0, frame_period=_FRAME_MS)
    spectrum = pyworld.cheaptrick(x, f0, times, RATE)
    noise = pyworld.d4c(x, f0, times, RATE)
    phones, tune = _stretch(spoken.phones, notes)
    if not tune:
        raise InputError(f"expected words with vowels to sing, got {text!r}")
    seconds = phones[-1][1]
    frames = int(seconds * 1000 / _FRAME_MS)
    at = np.arange(frames) * _FRAME_MS / 1000
    new = np.array([0.0, *(e for _, e, _ in phones)])
    old = np.array([0.0, *(e for _, e, _ in spoken.phones)])
    source = np.interp(at, new, old) * 1000 / _FRAME_MS
    low = np.minimum(source.astype(int), len(f0) - 2)
    share = (source - low)[:, None]
    voiced = f0[np.round(source).astype(int).clip(0, len(f0) - 1)] > 0
    vowel = np.zeros(frames, bool)
    for start, end, p in phones:
        vowel[(at >= start) & (at < end)] |= p in VOWELS
    pitch = np.where(voiced | vowel, _melody(at, tune), 0.0)
    blend = lambda z: np.ascontiguousarray((1 - share) * z[low] + share * z[low + 1])  # noqa: E731
    sung = pyworld.synthesize(pitch, blend(spectrum), np.clip(blend(noise), 0, 1), RATE, _FRAME_MS)
    sung = sung * (10 ** (-22 / 20) / max(1e-4, float(np.sqrt(np.mean(sung**2)))))
    samples = np.clip(sung, -1, 1).astype(np.float32)
    return Voiced(samples, tuple((s, e, p) for s, e, p in tidy(phones, len(samples) / RATE)))


def _stretch(phones: tuple, notes: list[Note]) -> tuple[list, list[tuple[float, float, float]]]:
    """Phones on the notes' clock, and the tune (start s, end s, Hz); a diphthong stays on one note."""
    out: list[tuple[float, float, str]] = []
    tune: list[tuple[float, float, float]] = []
    now, count, before = 0.0, 0, ""
    for i, (start, end, label) in enumerate(phones):
        length = end - start
        if label in VOWELS and before not in VOWELS:
            note = notes[count % len(notes)]
            count += 1
            following = sum(e - s for s, e, p in _consonants(phones, i + 1))
            glide = i + 1 < len(phones) and phones[i + 1][2] in VOWELS
            length = max(note.seconds - min(following, 0.5 * note.seconds) - 0.09 * glide, 0.12)
            tune.append((now, now + length + 0.09 * glide, note.hertz))
        elif label in VOWELS:
            length = 0.09
        elif label == "sil":
            length = min(length, 0.25)
        out.append((now, now + length, label))
        now += length
        before = label
    return out, tune


def _consonants(phones: tuple, first: int) -> list:
    out = []
    for phone in phones[first:]:
        if phone[2] in VOWELS and (out or phones[first][2] not in VOWELS):
            break
        if phone[2] not in VOWELS:
            out.append(phone)
    return out


def _melody(at: np.ndarray, tune: list[tuple[float, float, float]]) -> np.ndarray:
    """Pitch in Hz at times (n,): notes with glides between them and vibrato once they last."""
    semitones = np.interp(at, [0.0], [12 * np.log2(tune[0][2] / 440)])
    for (_, end, before), (start, _, after) in zip(tune[:-1], tune[1:], strict=True):
        a, b = 12 * np.log2(before / 440), 12 * np.log2(after / 440)
        middle = (end + start) / 2
        step = np.clip((at - middle) / _GLIDE_S + 0.5, 0, 1)
        semitones = np.where(at >= middle - _GLIDE_S / 2, a + (b - a) * step * step * (3 - 2 * step), semitones)
    depth = np.zeros(len(at))
    for start, end, _ in tune:
        inside = (at >= start) & (at < end)
        depth[inside] = np.clip((at[inside] - start - 0.25) / 0.3, 0, 1)
    semitones = semitones + depth * _VIBRATO_CENTS / 100 * np.sin(2 * np.pi * _VIBRATO_HZ * at)
    return 440 * 2 ** (semitones / 12)
