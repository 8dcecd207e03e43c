"""A training that is cut and resumed ends where the uncut one does, and learns."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is installed with [train] only")
pytest.importorskip("open_clip", reason="open_clip is installed with [train] only")

from media2face.data.style_corpus import StyleCorpus  # noqa: E402
from media2face.models.style_encoder.config import EdgeConfig  # noqa: E402
from media2face.models.style_encoder.model import EdgeCLIP, vocabulary_rows  # noqa: E402
from media2face.runtime.sessions import weights_folder  # noqa: E402
from media2face.runtime.tokenizer import BPE_FILE, ClipTokenizer  # noqa: E402
from media2face.training import train_style  # noqa: E402

TINY = dict(embed_dim=16, text_width=16, text_layers=1, text_heads=2, image_size=32, image_width=4, image_head_width=32)


@pytest.fixture(scope="module")
def material():
    tokenizer = ClipTokenizer(weights_folder() / BPE_FILE)
    corpus = StyleCorpus(tokenizer)
    return tokenizer, corpus, vocabulary_rows(train_style.kept_tokens(tokenizer, corpus, texts=500))


def _fresh(rows) -> EdgeCLIP:
    torch.manual_seed(0)
    return EdgeCLIP(EdgeConfig(vocabulary=int(rows.max()) + 1, **TINY), rows)


def test_resumed_equals_uncut(material, tmp_path, monkeypatch):
    tokenizer, corpus, rows = material
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = _fresh(rows)
    train_style.train_text(whole, tokenizer, corpus, tmp_path / "a", 6, 16)

    real, drawn = train_style.text_batch, []

    def failing(*args):
        if len(drawn) == 3:
            raise KeyboardInterrupt
        drawn.append(1)
        return real(*args)

    cut = _fresh(rows)
    monkeypatch.setattr(train_style, "text_batch", failing)
    monkeypatch.setattr(train_style.time, "monotonic", iter(range(0, 10_000, 100)).__next__)  # save after every step
    with pytest.raises(KeyboardInterrupt):
        train_style.train_text(cut, tokenizer, corpus, tmp_path / "b", 6, 16)
    monkeypatch.undo()
    resumed = _fresh(rows)
    train_style.train_text(resumed, tokenizer, corpus, tmp_path / "b", 6, 16)
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_text_training_learns(material, tmp_path, monkeypatch):
    tokenizer, corpus, rows = material
    model = _fresh(rows)
    rng = np.random.default_rng(0)
    tokens, labels = train_style.text_batch(tokenizer, corpus, rng, 16, 16)
    directions = train_style.target_directions(labels)

    def error() -> float:
        with torch.no_grad():
            z = train_style.encode_sorted(model, tokens)
        return float(train_style.geometry_loss(z, z, directions @ directions.T))

    before = error()
    monkeypatch.setattr(train_style, "text_batch", lambda *_: (tokens, labels))  # one batch, over and over
    train_style.train_text(model, tokenizer, corpus, tmp_path, 120, 32)
    assert error() < 0.5 * before
