"""The vision encoders as ONNX."""

import json
from dataclasses import asdict

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("safetensors")

import onnx  # noqa: E402
import onnxruntime as ort  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from media2face.models.vision.config import EncoderConfig, VisionConfig  # noqa: E402
from media2face.models.vision.networks import Vision  # noqa: E402
from media2face.onnx_export.vision import export, load_run, store_int8  # noqa: E402
from media2face.runtime.sessions import load_model, weights_folder  # noqa: E402


def test_large_matrices_shrink_to_a_quarter_and_keep_their_values():
    weight = np.random.default_rng(0).normal(size=(64, 400)).astype(np.float32)
    made = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 400])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 64])],
        [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    before = model.ByteSize()
    model = store_int8(model, smallest=1000)
    onnx.checker.check_model(model)
    assert model.ByteSize() < 0.3 * before
    x = np.random.default_rng(1).normal(size=(1, 400)).astype(np.float32)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.abs(session.run(None, {"x": x})[0] - x @ weight.T).max() < 1.0  # of values about 20 wide


def test_untrained_encoders_export_and_load(tmp_path):
    tiny = EncoderConfig(32, (4, 8), (0, 1), (16,))
    cfg = VisionConfig(expression=tiny, pose=tiny, locator_channels=(4, 8, 8))
    run, out = tmp_path / "run", tmp_path / "weights"
    run.mkdir()
    out.mkdir()
    for name in ("face_rig.npz", "gnpfa_to_weights.onnx"):
        (out / name).symlink_to(weights_folder().resolve() / name)
    model = Vision(cfg)
    save_file({f"average.{k}": v.contiguous() for k, v in model.state_dict().items()}, run / "last.safetensors")
    (run / "metrics.json").write_text(json.dumps({"config": asdict(cfg), "mm": 1.0}))
    assert set(export(run, out)) == {"vision_expression", "vision_pose"}  # no locator was trained: none is written
    state = {f"average.{k}": v.contiguous() for k, v in model.locator.state_dict().items()}
    save_file(state, run / "locator.safetensors")
    (run / "locator.json").write_text(json.dumps({"found": 0.0}))
    paths = export(run, out)
    assert set(paths) == {"vision_expression", "vision_pose", "vision_locator"}
    loaded = {name: load_model(name, out, "cpu") for name in paths}
    picture = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    z = loaded["vision_expression"].run({"image": picture})["latent"]
    with torch.no_grad():
        wanted = load_run(run)[0].expression(torch.from_numpy(picture).permute(0, 3, 1, 2) / 255)
    assert np.abs(z - wanted.numpy()).max() < 2e-2  # fp16 weights
    made = loaded["vision_pose"].run({"image": picture.repeat(3, 0)})
    assert made["rotation"].shape == (3, 3, 3) and made["place"].shape == (3, 3) and made["face"].shape == (3,)
    assert np.allclose(np.linalg.det(made["rotation"]), 1, atol=1e-4)
    for height, width in ((64, 160), (120, 96)):
        scene = np.zeros((1, height, width, 3), np.uint8)
        assert loaded["vision_locator"].run({"image": scene})["faces"].shape == (1, 4, height // 8, width // 8)
    space = load_model("gnpfa_to_weights", out, "cpu").fingerprint
    assert loaded["vision_expression"].meta["requires"] == {"gnpfa_to_weights": space}
