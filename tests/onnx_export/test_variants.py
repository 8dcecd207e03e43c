"""fp16 and int8 weights: the same models in other numbers, near to what they were made from."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the [train] extra")

from media2face.onnx_export import variants  # noqa: E402
from media2face.runtime.engine import EngineModels  # noqa: E402
from media2face.runtime.offline import animate  # noqa: E402
from media2face.runtime.sessions import load_model, weights_folder  # noqa: E402

pytestmark = pytest.mark.skipif(not (weights_folder() / "denoiser.onnx").is_file(), reason="no weights")
LEFT_OUT = ("vision", "face_identities", "gnpfa_encoder")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("variants")
    for path in weights_folder().iterdir():
        if not path.name.startswith(LEFT_OUT):
            shutil.copyfile(path, source / path.name)
    variants.main(["--weights", str(source), "--out", str(out)])
    return out


def denoiser_feeds(batch: int, frames: int, seed: int = 0) -> dict[str, np.ndarray]:
    meta = load_model("denoiser", providers="cpu").meta
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape).astype(np.float32)

    return {
        "x": draw(batch, frames, meta["latent_dim"] + 6), "t": rng.integers(0, 500, (batch, frames)),
        "audio": draw(batch, frames, meta["audio_dim"]), "style": draw(batch, meta["style_dim"]) / 11,
        "has_audio": np.ones(batch, np.float32), "has_style": np.ones(batch, np.float32),
    }  # fmt: skip


def test_widening_undoes_the_storage_in_half_precision():
    import onnxruntime as ort

    proto = variants.widen(onnx.load(str(weights_folder() / "denoiser.onnx")))
    assert not [t.name for t in proto.graph.initializer if t.data_type == onnx.TensorProto.FLOAT16]
    feeds = denoiser_feeds(2, 20)
    wide = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)[0]
    assert np.abs(wide - load_model("denoiser", providers="cpu").run(feeds)["clean"]).max() < 1e-5


@pytest.mark.parametrize(("precision", "near"), [("fp16", 5e-3), ("int8", 4e-2)])
def test_the_denoiser_stays_near_at_any_batch_and_length(folder, precision, near):
    exact, variant = load_model("denoiser", folder, "cpu"), load_model("denoiser", folder / precision, "cpu")
    for batch, frames in ((1, 12), (3, 40)):
        feeds = denoiser_feeds(batch, frames, seed=batch)
        wanted, got = exact.run(feeds)["clean"], variant.run(feeds)["clean"]
        assert got.shape == wanted.shape and got.dtype == np.float32
        assert 0 < np.abs(got - wanted).mean() < near * wanted.std()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_variant_is_the_same_model_and_a_smaller_file_than_float32(folder, precision):
    for path in sorted((folder / precision).glob("*.onnx")):
        source, variant = (onnx.load(str(p)) for p in (folder / path.name, path))
        record, other = (json.loads(m.metadata_props[0].value) for m in (source, variant))
        if path.stem.startswith(variants.VARIED[precision]):
            assert other == record | {"precision": precision}
            weights = sum(onnx.numpy_helper.to_array(t).size for t in variants.widen(source).graph.initializer)
            assert path.stat().st_size < 4 * weights
        else:
            assert path.read_bytes() == (folder / path.name).read_bytes(), f"{path.name} has no variant"


def test_integers_have_a_scale_for_each_output_channel(folder):
    proto = onnx.load(str(folder / "int8" / "denoiser.onnx"))
    whole = {t.name: t for t in proto.graph.initializer}
    quantised = [t for t in whole.values() if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2]
    assert len(quantised) == 32 and any(n.op_type == "MatMulInteger" for n in proto.graph.node)
    for tensor in quantised:
        scale = whole[tensor.name.removesuffix("_quantized") + "_scale"]
        assert list(scale.dims) == [tensor.dims[1]]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_whole_chain_runs_in_it(folder, precision):
    rng = np.random.default_rng(0)
    speech = (0.1 * rng.standard_normal(8000) * (1 + np.sin(np.arange(8000) / 800))).astype(np.float32)
    exact = animate(speech, style="happy", models=EngineModels.load(folder, "cpu")).weights
    made = animate(speech, style="happy", models=EngineModels.load(folder, "cpu", precision=precision)).weights
    assert made.shape == exact.shape and 0 < np.abs(made - exact).mean() < 0.03
    assert animate(speech, style="happy", models=EngineModels.load(folder, "cpu")).weights.std() > 0.01


def test_the_shipped_folder_is_not_written_to():
    with pytest.raises(SystemExit) as stop:
        variants.main(["--out", str(weights_folder())])
    assert stop.value.code == 2 and not (weights_folder() / "int8").exists()
