"""What trainings read out of the shipped files is what ONNX Runtime computes with them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [train] extra")

from media2face.onnx_export.shipped import phone_head, shipped_mapping  # noqa: E402
from media2face.runtime.sessions import load_model, weights_folder  # noqa: E402

pytestmark = pytest.mark.skipif(not (weights_folder() / "speech_context.onnx").is_file(), reason="no weights")


def test_the_phone_head_gives_the_encoders_logits():
    model = load_model("speech_context", providers="cpu")
    frames = np.random.default_rng(0).standard_normal((1, 9, model.meta["dim"])).astype(np.float32)
    made = model.run({
        "frames": frames, "position_past": np.zeros(model.meta["position_past"], np.float32),
        "past": np.zeros(model.meta["past"], np.float32), "seen": np.array(0, np.int64),
    })  # fmt: skip
    weight, bias = phone_head()
    logits = made["hidden"][0] @ weight.T + bias
    assert np.abs(logits - made["phone_logits"][0]).max() <= 1e-4 and np.ptp(logits) > 1


@pytest.mark.parametrize(("name", "feed", "output", "size"), [
    ("gnpfa_from_weights", "weights", "latent", 52), ("gnpfa_to_weights", "latent", "weights", 64),
])  # fmt: skip
def test_the_mappings_equal_their_files(name, feed, output, size):
    values = np.random.default_rng(0).random((5, size), np.float32)
    with torch.no_grad():
        ours = shipped_mapping(name)(torch.from_numpy(values)).numpy()
    if output == "weights":
        ours = ours.clip(0, 1)
    assert np.abs(ours - load_model(name, providers="cpu").run({feed: values})[output]).max() <= 1e-4
