"""Speech of many synthetic voices with exact phone times: the corpus of the speech encoder.

    python -m media2face.data.synthetic_speech --out FOLDER --hours 3 --seed 0

needs the programs of Debian's packages espeak-ng, libespeak-ng1, flite, festival and the festvox voices named in
`FESTIVAL_VOICES` (those not installed are left out with a warning). Writes FOLDER/<voice>/<id>.flac (16 kHz mono) and
<id>.json {"voice", "engine", "language", "text", "split", "phones": [[start s, end s, phone], ...]}. The same seed
gives the same texts and settings; clips that exist are kept, so that a run can be taken up again. Voices of `HELD_OUT`
are split "val" and are never trained on.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from media2face.data import phones, speech_texts

log = logging.getLogger(__name__)
RATE = 16_000
CLIP_SECONDS = 4.0  # mean, for planning
BATCH = 12  # clips per festival process

# voice -> (language, encoding of its texts)
FESTIVAL_VOICES = {
    "kal_diphone": ("en", "latin-1"),
    "ked_diphone": ("en", "latin-1"),
    "cmu_us_slt_arctic_hts": ("en", "latin-1"),
    "lp_diphone": ("it", "latin-1"),
    "pc_diphone": ("it", "latin-1"),
    "upc_ca_ona_hts": ("ca", "latin-1"),
    "czech_dita": ("cs", "iso-8859-2"),
    "czech_krb": ("cs", "iso-8859-2"),
    "czech_machac": ("cs", "iso-8859-2"),
    "czech_ph": ("cs", "iso-8859-2"),
    "hy_fi_mv_diphone": ("fi", "latin-1"),
    "suo_fi_lj_diphone": ("fi", "latin-1"),
    "msu_ru_nsh_clunits": ("ru", "utf-8"),
}
FLITE_VOICES = ("kal16", "awb", "rms", "slt")
ESPEAK_LANGUAGES = {
    "en": "en-us en-gb en-gb-scotland", "de": "de", "fr": "fr-fr", "es": "es", "it": "it", "pt": "pt", "cs": "cs",
    "fi": "fi", "ca": "ca", "ru": "ru", "nl": "nl", "pl": "pl", "sv": "sv", "tr": "tr", "hu": "hu", "ro": "ro",
    "id": "id", "sw": "sw", "da": "da", "hr": "hr",
}  # fmt: skip
ESPEAK_VARIANTS = (
    "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 klatt4 klatt5 klatt6 Alex Alicia Andrea Andy Annie "
    "Denis Diogo Gene Henrique Hugo Jacky Lee Marco Mario Michael Mike Storm Tweaky adam anika antonio aunty belinda "
    "benjamin boris caleb david ed edward grandma grandpa gustave iven iven2 john linda marcelo max michel miguel "
    "norbert pablo paul pedro quincy rob robert sandro shelby steph steph2 travis victor whisperf zac"
).split()
HELD_OUT = {"festival": ("czech_krb", "pc_diphone"), "flite": ("awb",), "espeak": ("f4", "Michael")}
SHARES = {"festival": 0.48, "espeak": 0.34, "flite": 0.18}  # of the training hours
VALIDATION_SHARE = 0.015  # of the hours, for each held-out voice


@dataclass(frozen=True)
class Clip:
    """One clip to be rendered; `seed` decides its text and settings."""

    engine: str
    voice: str
    language: str
    split: str
    seed: int

    @property
    def id(self) -> str:
        return f"{self.engine}-{self.voice}-{self.language}-{self.seed}".replace("+", "-")

    def rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(self.id.encode())])


def plan(hours: float, seed: int) -> list[Clip]:
    """The clips of a corpus of about `hours`, every voice of an engine having an equal part."""
    if hours <= 0:
        raise ValueError(f"hours must be positive, got {hours}")
    total = hours * 3600 / CLIP_SECONDS
    rng = np.random.default_rng(seed)
    clips: list[Clip] = []

    def add(engine: str, voice: str, language: str, split: str) -> None:
        clips.append(Clip(engine, voice, language, split, seed * 1_000_000 + len(clips)))

    for engine, names in (("festival", tuple(FESTIVAL_VOICES)), ("flite", FLITE_VOICES)):
        train = [v for v in names if v not in HELD_OUT[engine]]
        for voice in names:
            held = voice in HELD_OUT[engine]
            count = total * (VALIDATION_SHARE if held else SHARES[engine] / len(train))
            language = FESTIVAL_VOICES[voice][0] if engine == "festival" else "en"
            for _ in range(max(1, round(count))):
                add(engine, voice, language, "val" if held else "train")
    train = [v for v in ESPEAK_VARIANTS if v not in HELD_OUT["espeak"]]
    languages = list(ESPEAK_LANGUAGES)
    for i in range(max(1, round(total * SHARES["espeak"]))):
        add("espeak", train[i % len(train)], str(rng.choice(languages)), "train")
    for voice in HELD_OUT["espeak"]:
        for _ in range(max(1, round(total * VALIDATION_SHARE))):
            add("espeak", voice, str(rng.choice(languages)), "val")
    return clips


def _render_flite(batch: list[Clip], folder: Path) -> Iterator[tuple[Clip, str, Path, list]]:
    for clip in batch:
        rng = clip.rng()
        said, wave = speech_texts.text("en", rng), folder / f"{clip.id}.wav"
        pitch = {"slt": 170, "rms": 100, "awb": 120, "kal16": 105}[clip.voice] * rng.uniform(0.85, 1.2)
        command = ["flite", "-voice", clip.voice, "-psdur", "--setf", f"duration_stretch={rng.uniform(0.85, 1.25):.3f}"]
        command += ["--setf", f"int_f0_target_mean={pitch:.1f}", "-t", said, str(wave)]
        out = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        timed, start = [], 0.0
        for item in out.split():
            name, _, end = item.rpartition(":")
            timed += phones.spread(start, float(end), phones.from_flite(name))
            start = float(end)
        yield clip, said, wave, timed


def _render_festival(batch: list[Clip], folder: Path) -> Iterator[tuple[Clip, str, Path, list]]:
    voice = batch[0].voice
    language, encoding = FESTIVAL_VOICES[voice]
    lines, said = [f"(voice_{voice})"], {}
    for clip in batch:
        rng = clip.rng()
        said[clip] = speech_texts.text(language, rng).encode(encoding, "ignore").decode(encoding)
        lines += [
            f"(Parameter.set 'Duration_Stretch {rng.uniform(0.85, 1.2):.3f})",
            f'(set! u (Utterance Text "{said[clip]}"))',
            "(utt.synth u)",
            f'(utt.save.wave u "{folder}/{clip.id}.wav" \'riff)',
            f'(utt.save.segs u "{folder}/{clip.id}.segs")',
        ]
    script = folder / f"{batch[0].id}.scm"
    script.write_bytes("\n".join(lines).encode(encoding))
    result = subprocess.run(["festival", "-b", str(script)], capture_output=True, timeout=600)
    for clip in batch:
        wave, segments = folder / f"{clip.id}.wav", folder / f"{clip.id}.segs"
        if not segments.exists():
            log.warning("festival stopped before %s: %s", clip.id, result.stderr.decode(errors="replace")[-200:])
            return
        timed, start = [], 0.0
        for row in segments.read_text(errors="replace").splitlines():
            fields = row.split()
            if len(fields) < 3:
                continue
            end = float(fields[0])
            timed += phones.spread(start, end, phones.from_festival(language, fields[2]))
            start = end
        yield clip, said[clip], wave, timed


def _render_espeak(batch: list[Clip], folder: Path) -> Iterator[tuple[Clip, str, Path, list]]:
    requests, said = [], []
    for clip in batch:
        rng = clip.rng()
        said.append(speech_texts.text(clip.language, rng))
        voice = str(rng.choice(ESPEAK_LANGUAGES[clip.language].split()))
        requests.append({
            "voice": f"{voice}+{clip.voice}",
            "rate": int(rng.uniform(120, 195)),
            "pitch": int(rng.uniform(30, 70)),
            "text": said[-1],
            "wave": str(folder / f"{clip.id}.wav"),
        })  # fmt: skip
    program = [sys.executable, str(Path(__file__).with_name("espeak_events.py"))]
    lines = "".join(json.dumps(r) + "\n" for r in requests)
    result = subprocess.run(program, input=lines, capture_output=True, text=True, check=True, timeout=600)
    for clip, spoken, request, answer in zip(batch, said, requests, result.stdout.splitlines(), strict=True):
        timed = espeak_phones(json.loads(answer), clip.language)
        yield clip, spoken, Path(request["wave"]), timed


def espeak_phones(answer: dict, language: str) -> list[tuple[float, float, str]]:
    """Timed phones of an answer of ``espeak_events.py``."""
    ends = [start for start, _ in answer["phones"][1:]] + [answer["duration"]]
    timed: list[tuple[float, float, str]] = []
    for (start, ipa), end in zip(answer["phones"], ends, strict=True):
        found = ("sil",) if ipa == "" else phones.from_espeak(ipa, language)
        if end > start and found:
            timed += phones.spread(start, end, found)
        elif end > start and timed:  # a mark of no sound: the phone before lasts
            timed[-1] = (timed[-1][0], end, timed[-1][2])
    return timed


_RENDER = {"flite": _render_flite, "festival": _render_festival, "espeak": _render_espeak}


def claim_closures(samples: np.ndarray, timed: list) -> list:
    """Give voiceless stops the silence of their closure, which espeak-ng counts to the phone before.

    Args:
        samples: (n,) at 16 kHz.
        timed: [(start s, end s, phone), ...] in order.

    Returns:
        The same phones; p, t, k, ch begin where the sound before them stops, at most 120 ms earlier (60 ms after a
        silence, where nothing tells), and leave the phone before at least 40 % of its time.
    """
    hop = 40  # 2.5 ms
    count = len(samples) // hop
    level = np.sqrt(np.mean(samples[: count * hop].reshape(count, hop) ** 2, axis=1))
    quiet = level < 0.01 * np.sqrt(np.mean(samples**2))
    out = list(timed)
    for i in range(1, len(out)):
        (before_start, before_end, before), (start, end, phone) = out[i - 1], out[i]
        if phone not in ("p", "t", "k", "ch") or before in ("p", "t", "k", "ch"):
            continue
        reach = 0.06 if before == "sil" else 0.12
        earliest = max(start - reach, before_start + 0.4 * (before_end - before_start))
        at = min(int(start * RATE / hop), count) - 1
        while at >= 0 and quiet[at] and at * hop / RATE >= earliest:
            at -= 1
        begin = min(start, (at + 1) * hop / RATE)
        out[i - 1], out[i] = (before_start, begin, before), (begin, end, phone)
    return out


def tidy(timed: list, duration: float) -> list[list]:
    """Phones without gaps from 0 to `duration` (s): silence fills the ends, a gap goes to the phone after it."""
    out: list[list] = []
    for _, end, phone in timed:
        start, end = out[-1][1] if out else 0.0, round(min(end, duration), 4)
        if end > start:
            out.append([start, end, phone])
    last = out[-1][1] if out else 0.0
    if round(duration, 4) > last:
        out.append([last, round(duration, 4), "sil"])
    return out


def _write(clip: Clip, said: str, wave: Path, timed: list, out: Path) -> None:
    """Resample to 16 kHz, add silence before and after, and write sound and record."""
    samples, rate = soundfile.read(wave, dtype="float32")
    samples = soxr.resample(samples, rate, RATE) if rate != RATE else samples
    rng = np.random.default_rng(clip.seed)
    before, after = rng.uniform(0.05, 0.5, 2)
    level = 10 ** (rng.uniform(-30, -18) / 20) / max(1e-4, float(np.sqrt(np.mean(samples**2))))
    pad = (int(before * RATE), int(after * RATE))
    padded = np.clip(np.pad(samples * level, pad), -1, 1)
    moved = [(0.0, before, "sil")] + [(start + before, end + before, phone) for start, end, phone in timed]
    if clip.engine == "espeak":
        moved = claim_closures(padded, moved)
    moved = tidy(moved, len(padded) / RATE)
    folder = out / f"{clip.engine}-{clip.voice}"
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{clip.id}.flac", padded, RATE, subtype="PCM_16")
    record = {"voice": f"{clip.engine}-{clip.voice}", "engine": clip.engine, "language": clip.language, "text": said}
    record |= {"split": clip.split, "phones": moved}
    (folder / f"{clip.id}.json").write_text(json.dumps(record, ensure_ascii=False))


def available() -> set[str]:
    """ "engine-voice" of all voices that are installed here; warns for those that are not."""
    found = set()
    folders = Path("/usr/share/festival/voices")
    for voice in FESTIVAL_VOICES:
        if list(folders.glob(f"*/{voice}")):
            found.add(f"festival-{voice}")
        else:
            log.warning("festival voice %s is not installed: left out", voice)
    for engine, names, program in (("flite", FLITE_VOICES, "flite"), ("espeak", ESPEAK_VARIANTS, "espeak-ng")):
        try:
            subprocess.run([program, "--version"], capture_output=True, check=False)
            found |= {f"{engine}-{v}" for v in names}
        except FileNotFoundError:
            log.warning("%s is not installed: left out", program)
    return found


def render(clips: list[Clip], out: Path, workers: int = 1) -> int:
    """Render the clips that `out` lacks; returns how many clips were written."""
    groups: dict[tuple[str, str], list[Clip]] = {}
    for clip in clips:
        if not (out / f"{clip.engine}-{clip.voice}" / f"{clip.id}.json").exists():
            key = clip.voice if clip.engine == "festival" else ""
            groups.setdefault((clip.engine, key), []).append(clip)
    batches = [g[i : i + BATCH] for g in groups.values() for i in range(0, len(g), BATCH)]

    def work(batch: list[Clip]) -> int:
        written = 0
        with tempfile.TemporaryDirectory() as folder:
            for clip, said, wave, timed in _RENDER[batch[0].engine](batch, Path(folder)):
                _write(clip, said, wave, timed, out)
                written += 1
        return written

    with ThreadPoolExecutor(workers) as pool, tqdm(total=sum(map(len, batches)), unit="clip") as bar:
        written = 0
        for batch, count in zip(batches, pool.map(work, batches), strict=True):
            written += count
            bar.update(len(batch))
    return written


def main(arguments: list[str] | None = None) -> None:
    """Command line of the corpus, see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=3.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    voices = available()
    clips = [c for c in plan(options.hours, options.seed) if f"{c.engine}-{c.voice}" in voices]
    log.info("%d clips written to %s", render(clips, options.out, options.workers), options.out)


if __name__ == "__main__":
    main()
