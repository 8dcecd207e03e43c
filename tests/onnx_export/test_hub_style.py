"""Published CLIPs of open_clip: loaded from a folder, exported, and read by the runtime as open_clip reads them."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is installed with [train] only")
open_clip = pytest.importorskip("open_clip", reason="open_clip is installed with [train] only")

from PIL import Image  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from media2face.models.style_encoder.config import PaperConfig  # noqa: E402
from media2face.models.style_encoder.model import load_published  # noqa: E402
from media2face.onnx_export import hub_style, style  # noqa: E402
from media2face.runtime.errors import ModelError, StyleError  # noqa: E402
from media2face.runtime.sampler import MotionSampler  # noqa: E402
from media2face.runtime.style import StyleEncoder  # noqa: E402

TOLERANCE = 1e-4
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 48, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
LOOKS = {"mean": [0.4, 0.5, 0.3], "std": [0.2, 0.3, 0.25], "interpolation": "bicubic", "resize_mode": "shortest"}
TEXTS = [
    "a cheerful host",
    "someone who has been told terrible news",
    "florp blint",
    "Très TRISTE!",
    "x " * 80,
    "😀 hi",
]


def save_clip(folder, config=CONFIG, looks=LOOKS, seed=0):
    folder.mkdir(exist_ok=True)
    torch.manual_seed(seed)
    model = open_clip.model.CLIP(**config)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": looks}))
    return folder


@pytest.fixture(scope="module", autouse=True)
def _few_prompts():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "_PROMPTS", 3)  # mean directions of a random network need no more
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    source, out = save_clip(tmp_path_factory.mktemp("clip")), tmp_path_factory.mktemp("weights")
    hub_style.main(["--pretrained", str(source), "--out", str(out)])
    model, transform = load_published(PaperConfig(pretrained=str(source)))
    return source, out, model, transform


def test_words_as_open_clip_reads_them(made):
    source, out, model, _ = made
    encoder = StyleEncoder(out, "cpu")
    tokens = open_clip.get_tokenizer(f"local-dir:{source}")(TEXTS[:-1])
    with torch.no_grad():
        wanted = model.encode_text(tokens, normalize=True).numpy()
    ours = np.stack([encoder.encode_text(text).vector for text in TEXTS[:-1]])
    assert encoder.dim == 24 and np.abs(ours - wanted).max() <= TOLERANCE
    assert np.abs(wanted[0] - wanted[1]).max() > 100 * TOLERANCE


def test_pictures_as_open_clip_reads_them(made):
    _, out, model, transform = made
    encoder = StyleEncoder(out, "cpu")
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)) for _ in range(3)]
    with torch.no_grad():
        wanted = model.encode_image(torch.stack([transform(p) for p in pictures]), normalize=True).numpy()
    ours = np.stack([encoder.encode_image(p).vector for p in pictures])
    assert np.abs(ours - wanted).max() <= TOLERANCE and np.abs(wanted[0] - wanted[1]).max() > 10 * TOLERANCE
    batch = np.stack([np.asarray(p, np.float32).transpose(2, 0, 1) / 255 for p in pictures])
    assert np.abs(encoder._image.run({"image": batch})["embedding"] - wanted).max() <= TOLERANCE


def test_nothing_is_unknown_to_an_open_encoder(made):
    encoder = StyleEncoder(made[1], "cpu")
    assert encoder.open and not StyleEncoder(providers="cpu").open
    strange, other = encoder.encode_text("xqzt vrumblk"), encoder.encode_text("blorp")
    assert strange.known and strange.note == "" and len(strange.nearest) == 15
    assert not np.allclose(strange.vector, encoder.neutral) and not np.allclose(strange.vector, other.vector)
    assert encoder.encode_image(Image.new("RGB", (50, 40), "red")).known
    assert np.array_equal(encoder.encode_text("  ").vector, encoder.neutral)
    assert "first 18 of" in encoder.encode_text("happy " * 60).note
    with pytest.raises(StyleError, match="at most"):
        encoder.encode_text("a" * 2000)
    with pytest.raises(StyleError, match="cannot be read"):
        encoder.encode_image(b"no picture")


def test_the_folder_is_whole_and_the_shipped_denoiser_is_refused(made):
    out = made[1]
    assert {"clip_bpe.txt.gz", "denoiser.onnx", "speech_context.onnx", "face_rig.npz"} <= {
        p.name for p in out.iterdir()
    }
    with pytest.raises(ModelError, match="train the model again on this encoder"):
        MotionSampler(out, "cpu", style_fingerprint=StyleEncoder(out, "cpu").fingerprint)


def test_squashed_pictures_are_read_whole(tmp_path):
    source = save_clip(tmp_path / "clip", looks=LOOKS | {"resize_mode": "squash"})
    model, transform = load_published(PaperConfig(pretrained=str(source)))
    hub_style.export(model, open_clip.get_tokenizer(f"local-dir:{source}"), "tiny", tmp_path / "out")
    (tmp_path / "out" / "clip_bpe.txt.gz").write_bytes((hub_style.weights_folder() / "clip_bpe.txt.gz").read_bytes())
    ramp = np.tile(np.arange(96, dtype=np.uint8)[None, :, None] * 2, (48, 1, 3))
    with torch.no_grad():
        wanted = model.encode_image(transform(Image.fromarray(ramp))[None], normalize=True).numpy()[0]
        cut = model.encode_image(transform(Image.fromarray(ramp[:, 24:72]))[None], normalize=True).numpy()[0]
    ours = StyleEncoder(tmp_path / "out", "cpu").encode_image(Image.fromarray(ramp)).vector
    assert np.abs(ours - wanted).max() < 0.2 * np.abs(cut - wanted).max()


class TestRefused:
    def test_another_vocabulary(self, tmp_path):
        source = save_clip(tmp_path / "clip", CONFIG | {"text_cfg": CONFIG["text_cfg"] | {"vocab_size": 50_000}})
        with pytest.raises(SystemExit) as stop:
            hub_style.main(["--pretrained", str(source), "--out", str(tmp_path / "out")])
        assert stop.value.code == 2 and not (tmp_path / "out").exists()

    def test_another_tokenizer(self, made):
        _, out, model, _ = made
        spelling = open_clip.get_tokenizer(f"local-dir:{made[0]}")
        with pytest.raises(ValueError, match="byte-pair"):
            hub_style.export(model, lambda texts: spelling([t.replace("a", "e") for t in texts]), "tiny", out)

    def test_pickles(self, tmp_path):
        source = save_clip(tmp_path / "clip")
        (source / "open_clip_model.safetensors").rename(source / "open_clip_pytorch_model.bin")
        for place in (source, source / "open_clip_pytorch_model.bin"):
            with pytest.raises(ValueError, match="pickled checkpoints are refused"):
                load_published(PaperConfig(pretrained=str(place)))

    def test_weights_that_do_not_fit_are_not_made_up(self, tmp_path):
        source = save_clip(tmp_path / "clip")
        record = json.loads((source / "open_clip_config.json").read_text())
        record["model_cfg"]["embed_dim"] = 25
        (source / "open_clip_config.json").write_text(json.dumps(record))
        with pytest.raises(FileNotFoundError, match="could not load"):
            load_published(PaperConfig(pretrained=str(source)))

    def test_no_network(self, monkeypatch, tmp_path, capsys):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: (_ for _ in ()).throw(OSError("no network")))
        with pytest.raises(SystemExit) as stop:
            hub_style.main(["--model", "RN50", "--pretrained", "cc12m", "--out", str(tmp_path / "out")])
        assert stop.value.code == 2 and "network" in capsys.readouterr().err


def test_a_tag_brings_its_activation(monkeypatch):
    asked = {}

    def create(**options):
        asked[options["pretrained"]] = options["force_quick_gelu"]
        raise RuntimeError("not today")

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", create)
    for tag in ("openai", "laion2b_s34b_b79k"):
        with pytest.raises(FileNotFoundError, match="not today"):
            load_published(PaperConfig("ViT-B-32", tag))
    assert asked == {"openai": True, "laion2b_s34b_b79k": False}
