"""Score the exported speech encoder, as it streams, on speech with known phones.

    python -m media2face.evaluation.speech_encoder --data ../shared/data [--corpus FOLDER] [--json FILE]

`emodb`: real strangers (Berlin EmoDB, only ever scored). `held_out`: synthetic voices that were not trained on. Each
also with pink noise 10 dB below the speech. Place AUC and accuracy are those of `evaluation.phones`; the speed is that
of one core, in live chunks of 67 ms.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from media2face.data.augment import coloured_noise
from media2face.data.phones import PHONES, read_emodb
from media2face.data.speech_corpus import load_corpus
from media2face.evaluation import phones as measures
from media2face.runtime.speech import SpeechEncoder

log = logging.getLogger(__name__)
RATE = 16_000
Utterance = tuple[np.ndarray, measures.TimedPhones]


def emodb(folder: str | Path) -> Iterator[Utterance]:
    """(samples (n,) at 16 kHz, timed phones) of every file in `emodb_validation`.

    Raises:
        FileNotFoundError: if the folder has none.
    """
    paths = sorted(Path(folder).glob("*.flac"))
    if not paths:
        raise FileNotFoundError(f"no EmoDB files (*.flac with *.phones) in {folder}")
    for path in paths:
        samples, rate = soundfile.read(path, dtype="float32")
        samples = soxr.resample(samples, rate, RATE)
        yield samples, read_emodb(path.with_suffix(".phones"), len(samples) / RATE)


def held_out(folder: str | Path) -> Iterator[Utterance]:
    """The same of the voices that the corpus holds out."""
    for clip in load_corpus(folder, "val"):
        timed = [(a, b, PHONES[i]) for a, b, i in zip(clip.bounds[:-1], clip.bounds[1:], clip.phones, strict=True)]
        yield clip.samples.astype(np.float32) / 32768, timed


def score(
    encoder: SpeechEncoder, utterances: Iterable[Utterance], noise_db: float | None = None, seed: int = 0
) -> dict:
    """Place AUC (with its pairs and lag) and frame accuracies; pink noise `noise_db` below the speech if given."""
    rng, results = np.random.default_rng(seed), []
    for samples, timed in utterances:
        if noise_db is not None:
            level = np.sqrt(np.mean(samples**2)) * 10 ** (-noise_db / 20)
            samples = samples + level * coloured_noise(len(samples), 1.0, rng)
        stream = encoder.stream(with_phones=True)
        stream.accept_waveform(samples)
        stream.input_finished()
        p = measures.posteriors(stream.read_phones()[1])
        results.append((p, measures.feature_times(len(p)), timed))
    place = measures.place_auc((measures.bilabial_mass(p), t, timed) for p, t, timed in results)
    accuracy = measures.phone_accuracy(results)
    return {
        "place_auc": place.auc,
        **{f"place_auc {pair}": value for pair, value in place.pairs.items()},
        "lag_s": place.lag,
        "accuracy": accuracy["frames"],
        "accuracy_speech": accuracy["speech"],
        "utterances": len(results),
    }


def live_ms(encoder: SpeechEncoder, seconds: float = 10.0, chunk: int = 1067) -> float:
    """Mean processor time (ms) of one live chunk (67 ms of audio)."""
    audio = 0.05 * coloured_noise(int(RATE * seconds), 1.0, np.random.default_rng(0))
    stream, began = encoder.stream(), time.process_time()
    for at in range(0, len(audio), chunk):
        stream.accept_waveform(audio[at : at + chunk])
    return 1000 * (time.process_time() - began) / (len(audio) / chunk)


def main(arguments: list[str] | None = None) -> None:
    """Command line, see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--corpus", type=Path, help="folder made by media2face.data.synthetic_speech")
    parser.add_argument("--weights", type=Path, help="folder of the ONNX files; the shipped one by default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    encoder = SpeechEncoder(options.weights, providers="cpu")
    report = {"fingerprint": encoder.fingerprint, "live_ms_per_67ms": live_ms(encoder)}
    if (options.data / "emodb_validation").is_dir():
        utterances = list(emodb(options.data / "emodb_validation"))
        report["emodb"], report["emodb_noise_10db"] = score(encoder, utterances), score(encoder, utterances, 10.0)
    else:
        log.warning("no emodb_validation in %s: left out", options.data)
    if options.corpus:
        utterances = list(held_out(options.corpus))
        report["held_out"], report["held_out_noise_10db"] = score(encoder, utterances), score(encoder, utterances, 10.0)
    text = json.dumps(report, indent=1)
    log.info("%s", text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
