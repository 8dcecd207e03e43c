"""The exported towers compute what torch computes, through the runtime's own encoder."""

import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is installed with [train] only")
pytest.importorskip("open_clip", reason="open_clip is installed with [train] only")

from PIL import Image  # noqa: E402

from media2face.data.styles import STYLES, lexicon  # noqa: E402
from media2face.models.style_encoder.config import EdgeConfig  # noqa: E402
from media2face.models.style_encoder.model import EdgeCLIP, vocabulary_rows  # noqa: E402
from media2face.onnx_export import style  # noqa: E402
from media2face.onnx_export.style import ImageTower, embed_texts, export_image, export_text  # noqa: E402
from media2face.runtime.errors import ModelError  # noqa: E402
from media2face.runtime.sessions import weights_folder  # noqa: E402
from media2face.runtime.style import StyleEncoder  # noqa: E402
from media2face.runtime.tokenizer import BPE_FILE, ClipTokenizer  # noqa: E402

TOLERANCE = 1e-4
TEXTS = ["a cheerful host", "very sad", "happy " * 60, "x", "florp 😀 blint"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    shutil.copy(weights_folder() / BPE_FILE, folder)
    tokenizer = ClipTokenizer(folder / BPE_FILE)
    rows = vocabulary_rows([t for w in lexicon() for t in tokenizer.encode(w)])
    torch.manual_seed(1)
    config = EdgeConfig(vocabulary=int(rows.max()) + 1, embed_dim=32, text_layers=2, image_size=64, image_width=4,
                        image_head_width=32)  # fmt: skip
    model = EdgeCLIP(config, rows)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_((p + 0.02 * torch.randn_like(p)).half().float())  # as training leaves them: exact in float16
    model.eval()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "_PROMPTS", 3)  # mean directions of a random network need no more
        patch.setattr(style, "_MEANINGLESS", 20)
        export_text(model, tokenizer, folder)
    text = StyleEncoder(folder, "cpu").fingerprint
    export_image(model, folder, requires={"style_text": text})
    return folder, model, tokenizer


def test_text_parity(exported):
    folder, model, tokenizer = exported
    encoder = StyleEncoder(folder, "cpu")
    ours = np.stack([encoder._unit(encoder._text.run({"tokens": tokenizer([t], 32)})["embedding"][0]) for t in TEXTS])
    theirs = embed_texts(model, tokenizer, TEXTS)
    assert np.abs(ours - theirs).max() <= TOLERANCE
    assert np.abs(theirs[0] - theirs[1]).max() > 100 * TOLERANCE, "different texts must differ for this to say anything"


def test_image_parity(exported):
    folder, model, _ = exported
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    ours = StyleEncoder(folder, "cpu")
    image = np.asarray(pixels, np.float32).transpose(2, 0, 1)[None] / 255
    ours.encode_image(Image.fromarray(pixels))
    with torch.no_grad():
        theirs = ImageTower(model).eval()(torch.from_numpy(image)).numpy()
    assert np.abs(ours._image.run({"image": image})["embedding"] - theirs).max() <= TOLERANCE


def test_record_tells_the_runtime_what_it_needs(exported):
    encoder = StyleEncoder(exported[0], "cpu")
    assert encoder.dim == 32 and encoder.styles == STYLES and len(encoder.fingerprint) == 16


def test_an_image_tower_of_another_text_tower_is_refused(exported, tmp_path):
    folder, model, _ = exported
    for file in folder.iterdir():
        shutil.copy(file, tmp_path)
    export_image(model, tmp_path, requires={"style_text": "0" * 16})
    with pytest.raises(ModelError, match="style_text"):
        StyleEncoder(tmp_path, "cpu").encode_image(Image.new("RGB", (32, 32)))
