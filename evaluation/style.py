"""How well the shipped style encoder names the style of words, sentences and pictures it was not trained on.

    python -m media2face.evaluation.style --data ../shared/data

Scores are top-1 over the fifteen styles (chance 0.07), through the runtime's own encoder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from media2face.data.style_corpus import StyleCorpus, noise
from media2face.data.styles import EMOJI, HELD_OUT_EMOJI, STYLES, lexicon, sample_prompt, words
from media2face.runtime.sessions import weights_folder
from media2face.runtime.style import StyleEncoder
from media2face.runtime.tokenizer import BPE_FILE, ClipTokenizer

_FRAMES = ("{}", "a {} teacher", "speaking in a {} way", "{} voice", "the man looks {}", "a {} robot at the airport")


def _share(hits: list[bool]) -> float:
    return round(float(np.mean(hits)), 3) if hits else float("nan")


def is_derived(word: str, style: str) -> bool:
    """Whether a held-out word begins like a trained word of its style (five letters), as joyously does like joyous."""
    return any(t[:5] == word[:5] for t in words(style).all())


def text_scores(encoder: StyleEncoder, tokenizer: ClipTokenizer, seed: int = 5) -> dict[str, float]:
    """Scores of the text tower, by name; see the module."""
    rng = np.random.default_rng(seed)
    scores: dict[str, float] = {}
    hits: dict[str, list[bool]] = {"derived": [], "unrelated": []}
    known: list[bool] = []
    for word, style in lexicon("held_out").items():
        for frame in _FRAMES:
            found = encoder.encode_text(frame.format(word))
            hits["derived" if is_derived(word, style) else "unrelated"].append(found.style == style)
            known.append(found.known)
    scores["held_out_words_derived"] = _share(hits["derived"])
    scores["held_out_words_unrelated"] = _share(hits["unrelated"])
    scores["held_out_words_known"] = _share(known)
    scores["trained_words_new_frames"] = _share(
        [encoder.encode_text(f"{w} in a nutshell").style == s for w, s in lexicon().items()]
    )
    corpus = StyleCorpus(tokenizer, "held_out")

    def prompts(make: Callable[[str], str], count: int = 450) -> list[bool]:
        styles = [STYLES[i % len(STYLES)] for i in range(count)]
        return [encoder.encode_text(make(s)).style == s for s in styles]

    scores["sentences"] = _share(prompts(lambda s: sample_prompt(s, float(rng.uniform(0.1, 1)), rng)))
    scores["sentences_among_unseen_words"] = _share(
        prompts(lambda s: f"{corpus.sentence(rng, 1, 4)} {sample_prompt(s, 0.65, rng)} {corpus.sentence(rng, 1, 4)}")
    )
    scores["levels_in_order"] = _share([_ordered(encoder, word) for s in STYLES[1:] for word in words(s).plain])
    meaningless = [noise(rng, "held_out") if i % 2 else corpus.sentence(rng) for i in range(400)]
    found = [encoder.encode_text(t) for t in meaningless]
    scores["meaningless_to_neutral"] = _share([f.style == "neutral" for f in found])
    scores["meaningless_noise_unknown"] = _share([not f.known for f in found[1::2]])
    denied = [f"the boss is not {w}" for s in STYLES[1:] for w in words(s).plain]
    scores["denied_to_neutral"] = _share([encoder.encode_text(t).style == "neutral" for t in denied])
    return scores


def _ordered(encoder: StyleEncoder, word: str) -> bool:
    """Whether slightly, plain and very lie ever further from neutral."""
    degrees = (" little", "", " very")
    away = [1 - float(encoder.neutral @ encoder.encode_text(f"a{d} {word} guide").vector) for d in degrees]
    return away[0] < away[1] < away[2]


def image_scores(encoder: StyleEncoder, data: Path, seed: int = 6) -> dict[str, float]:
    """Scores of the image tower on clean emoji and on disguised ones, needs torch for the latter."""
    from PIL import Image

    from media2face.data.style_images import StyleImages

    scores: dict[str, float] = {}
    for name, held in (("trained", False), ("held_out", True)):
        codes = [c for c in EMOJI if (c in HELD_OUT_EMOJI) == held]
        hits = [encoder.encode_image(data / "emoji" / f"{c}.png").style == EMOJI[c][0] for c in codes]
        scores[f"{name}_emoji"] = _share(hits)
    pictures = StyleImages(data, 64, "held_out")
    rng = np.random.default_rng(seed)
    images, labels = pictures.draw(300, rng)
    hits = []
    for image, label in zip(images.numpy(), labels.numpy(), strict=True):
        found = encoder.encode_image(Image.fromarray((image.transpose(1, 2, 0) * 255).astype(np.uint8)))
        hits.append(found.style == (STYLES[int(label[1:].argmax()) + 1] if label[0] < 1 else "neutral"))
    emoji = len(hits) - pictures.without_style_of(len(hits))
    scores["held_out_emoji_disguised"] = _share(hits[:emoji])
    scores["pictures_without_style_to_neutral"] = _share(hits[emoji:])
    return scores


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--weights", type=Path, default=weights_folder())
    parser.add_argument("--only", choices=("text", "image"))
    parser.add_argument("--json", type=Path, help="also write the scores here")
    args = parser.parse_args(argv)
    encoder = StyleEncoder(args.weights, "cpu")
    scores: dict[str, float] = {}
    if args.only != "image":
        scores |= text_scores(encoder, ClipTokenizer(args.weights / BPE_FILE))
    if args.only != "text":
        scores |= image_scores(encoder, args.data)
    width = max(map(len, scores))
    print("\n".join(f"{name:<{width}} {value}" for name, value in scores.items()))
    if args.json:
        args.json.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
