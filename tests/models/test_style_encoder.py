"""The small CLIP: pruned vocabulary, prescribed geometry, and published checkpoints from a folder."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is installed with [train] only")
pytest.importorskip("open_clip", reason="open_clip is installed with [train] only")

from media2face.data.style_corpus import label_of  # noqa: E402
from media2face.models.style_encoder.config import EdgeConfig, PaperConfig  # noqa: E402
from media2face.models.style_encoder.losses import contrastive_loss, geometry_loss, target_directions  # noqa: E402
from media2face.models.style_encoder.model import UNKNOWN_ROW, EdgeCLIP, load_published, vocabulary_rows  # noqa: E402
from media2face.runtime.tokenizer import END, START, VOCABULARY, pack  # noqa: E402

TINY = dict(embed_dim=16, text_width=16, text_layers=1, text_heads=2, image_size=32, image_width=4, image_head_width=32)


def test_unseen_tokens_share_one_row_and_the_end_is_last():
    rows = vocabulary_rows([900, 600, 600, 5])
    assert rows.shape == (VOCABULARY,) and rows[[0, 5, 600, 900, START, END]].tolist() == [0, 2, 3, 4, 5, 6]
    assert rows[1000] == rows[40_000] == UNKNOWN_ROW
    model = EdgeCLIP(EdgeConfig(vocabulary=7, **TINY), rows).eval()
    texts = torch.from_numpy(pack([[5, 1000], [5, 40_000], [5, 600], []], 32))
    with torch.no_grad():
        a, b, c, empty = model.encode_text(texts, normalize=True)
        cut = model.encode_text(texts[:, :5], normalize=True)
    assert torch.equal(a, b) and not torch.allclose(a, c, atol=1e-3) and empty.norm() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(cut[0], a, atol=1e-6), "padding must not matter"


def test_a_table_too_large_for_the_model_is_refused():
    with pytest.raises(ValueError, match="vocabulary is 5 rows"):
        EdgeCLIP(EdgeConfig(vocabulary=5, **TINY), vocabulary_rows([1, 2, 3, 4]))


@pytest.mark.parametrize("bad", [{"text_heads": 5}, {"image_size": 90}, {"vocabulary": 40_000}, {"context_length": 2},
                                 {"embed_dim": 0}, {"image_layers": (1, 0, 1, 1)}])  # fmt: skip
def test_config_names_the_bad_field(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        EdgeConfig(**bad)


def test_geometry_puts_slight_between_neutral_and_strong():
    labels = np.stack([label_of("neutral", 1), label_of("happy", 0.3), label_of("happy", 1), label_of("excited", 1),
                       label_of("sad", 1)])  # fmt: skip
    directions = target_directions(torch.from_numpy(labels))
    cosines = directions @ directions.T
    assert torch.allclose(cosines.diagonal(), torch.ones(5), atol=1e-6)
    neutral_slight, neutral_strong, slight_strong = cosines[0, 1], cosines[0, 2], cosines[1, 2]
    assert neutral_slight > slight_strong > neutral_strong
    assert cosines[2, 3] > cosines[2, 4]


def test_losses_fall_when_embeddings_match_their_labels():
    labels = torch.from_numpy(np.stack([label_of(s, 1) for s in ("happy", "happy", "sad", "sad", "angry")]))
    right = target_directions(labels)
    wrong = right[torch.tensor([2, 4, 0, 1, 3])]
    cosines = right @ right.T
    scale = torch.tensor(10.0)
    assert geometry_loss(right, right, cosines) < 1e-10 < geometry_loss(wrong, wrong, cosines)
    assert contrastive_loss(right, right, cosines, scale, True) < contrastive_loss(wrong, wrong, cosines, scale, True)


def test_a_published_model_loads_from_a_folder(tmp_path):
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    config = EdgeConfig(vocabulary=99, **TINY)
    torch.manual_seed(0)
    model = CLIP(**config.open_clip()).eval()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": config.open_clip(), "preprocess_cfg": {}}))
    loaded, transform = load_published(PaperConfig(pretrained=str(tmp_path)))
    text = torch.randint(1, 99, (2, 32))
    with torch.no_grad():
        assert torch.allclose(loaded.encode_text(text), model.encode_text(text), atol=1e-6)
    assert callable(transform)


def test_a_missing_published_model_says_what_to_give(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint file or folder"):
        load_published(PaperConfig("ViT-B-32", str(tmp_path / "absent.safetensors")))
    with pytest.raises(ValueError, match="name and pretrained"):
        PaperConfig(pretrained="")


def test_the_paper_configuration_builds_and_embeds_in_512():
    import open_clip
    from open_clip.model import CLIP

    with torch.device("meta"):  # shapes only: 151 million parameters need not be drawn
        model = CLIP(**open_clip.get_model_config(PaperConfig().name))
        text = model.encode_text(torch.zeros(1, 77, dtype=torch.int64))
        image = model.encode_image(torch.zeros(1, 3, 224, 224))
    assert text.shape == image.shape == (1, 512)
