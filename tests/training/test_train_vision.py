"""Training of the vision encoders: labels move with the crop; a short run starts, stops and goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors import safe_open  # noqa: E402

from media2face.data.face_pictures import head_rotation  # noqa: E402
from media2face.data.rig import PARTS, ICTRig  # noqa: E402
from media2face.data.vision_set import LABEL, SIZE, PictureSet  # noqa: E402
from media2face.models.vision.config import EncoderConfig, VisionConfig  # noqa: E402
from media2face.models.vision.networks import Vision  # noqa: E402
from media2face.runtime.arkit import ARKIT_INDEX, MIRRORED  # noqa: E402
from media2face.runtime.decoder import FaceDecoder  # noqa: E402
from media2face.runtime.face_crop import cut as cut_one  # noqa: E402
from media2face.runtime.sessions import load_model  # noqa: E402
from media2face.training import train_locator, train_vision, vision_faces  # noqa: E402
from media2face.training.train_vision import train, warm_start  # noqa: E402
from media2face.training.vision_batches import WIDE, Batches, about_x, cut  # noqa: E402

TINY = EncoderConfig(32, (4, 8, 8), (0, 1, 0), (16, 16), 68)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A few pictures: a bright dot at the face's middle on noise."""
    made = tmp_path_factory.mktemp("set")
    rng = np.random.default_rng(0)
    for split, real in (("train", False), ("val", False), ("grid_train", True), ("grid_val", True)):
        labels = np.zeros(24, LABEL)
        labels["rotation"], labels["done"], labels["side"], labels["face"] = np.eye(3), 1, 100, 1
        labels["centre"] = rng.uniform(55, 72, (24, 2)).round()
        labels["identity"], labels["distance"], labels["clip"] = (-1 if real else 0), 1.0, (0 if real else -1)
        labels["weights"][:, 17] = rng.random(24)
        labels["gap"] = 20 * labels["weights"][:, 17]
        images = rng.integers(0, 60, (24, SIZE, SIZE, 3)).astype(np.uint8)
        for image, (x, y) in zip(images, labels["centre"].astype(int), strict=True):
            image[y - 2 : y + 3, x - 2 : x + 3] = 255
        PictureSet(made, split, 24).write(0, images, labels)
    return made


def test_labels_move_with_the_crop(folder):
    batches = Batches(folder)
    images, labels = batches.draw(16, 8)
    crops, seen = batches.crop(images, labels, 64, WIDE)
    flat = crops.mean(1).flatten(1)
    peak = torch.stack([flat.argmax(1) % 64, flat.argmax(1) // 64], 1)
    wanted = (seen["place"][:, :2] + 0.5) * 64 - 0.5
    assert (peak - wanted).abs().max() < 3.0
    assert seen["place"].abs().max() > 0.05
    tilt = torch.atan2(seen["rotation"][:, 2, 1], seen["rotation"][:, 2, 2])
    assert tilt.abs().max() > 0.05 and torch.allclose(torch.linalg.det(seen["rotation"]), torch.ones(24), atol=1e-5)


class _SeesTheDot(torch.nn.Module):
    """Stands for E_pose: the brightest pixel is the face's middle, and each crop shows a head that leans."""

    size = 64

    def __init__(self, lean):
        super().__init__()
        self.lean = lean

    def forward(self, crops):
        flat = crops.mean(1).flatten(1)
        peak = torch.stack([flat.argmax(1) % self.size, flat.argmax(1) // self.size], 1)
        columns = about_x(torch.full((len(crops),), -self.lean))[:, :, :2].transpose(1, 2).flatten(1)
        return torch.cat([columns, (peak + 0.5) / self.size - 0.5, torch.zeros(len(crops), 2)], 1)


@pytest.mark.parametrize(("lean", "turned"), [(0.02, 0.0), (0.3, 0.6)])
def test_squares_are_those_that_the_pose_finds(folder, lean, turned, monkeypatch):
    """What leans is turned upright; the stand-in sees it lean again, so it is turned twice."""
    batches = Batches(folder)
    images, labels = batches.draw(16, 8)
    strayed = labels["centre"] + 5.0, 1.1 * labels["side"], torch.zeros(24)
    monkeypatch.setattr(batches, "stray", lambda *_: strayed)
    monkeypatch.setattr(batches, "look", lambda crops: crops)
    centre, side, turn = batches.found(_SeesTheDot(lean), images, labels)
    assert (centre - labels["centre"]).abs().max() < 3.0
    assert torch.allclose(side, strayed[1])  # it says nothing of the size
    assert torch.allclose(turn, torch.full((24,), turned), atol=1e-5)


def test_half_of_a_batch_is_seen_in_a_mirror(folder):
    batches = Batches(folder)
    images, labels = batches.draw(40, 8)
    flip = labels["mirrored"]
    assert 8 < flip.sum() < 40
    flat = images.float().mean(1).flatten(1)
    peak = torch.stack([flat.argmax(1) % SIZE, flat.argmax(1) // SIZE], 1)
    assert (peak - labels["centre"]).abs().max() <= 2.0  # the dot goes with its label
    assert not batches.take(batches.rows[:4], np.zeros(0, int))[1]["mirrored"].any()
    turned = {**labels, "rotation": torch.tensor(head_rotation(30, 10, 5)).expand(48, 3, 3)}
    turned["weights"] = torch.zeros(48, 52)
    turned["weights"][:, ARKIT_INDEX["mouthSmileLeft"]] = 1
    _, seen = batches._mirror(images, turned)
    flip = seen["mirrored"]
    assert torch.allclose(seen["rotation"][flip], torch.tensor(head_rotation(-30, 10, -5)), atol=1e-6)
    assert seen["weights"][flip, ARKIT_INDEX["mouthSmileRight"]].eq(1).all()
    assert seen["weights"][~flip, ARKIT_INDEX["mouthSmileLeft"]].eq(1).all()
    both = FaceDecoder().latents(seen["weights"].numpy())
    assert np.abs(seen["z"][flip].numpy() - both[flip.numpy()]).max() < 1e-4


def test_crops_are_those_of_the_run_time(folder):
    batches = Batches(folder)
    images, labels = batches.take(np.array([2]), np.zeros(0, int))
    mine = cut(images, labels["centre"], torch.tensor([90.0]), torch.tensor([0.2]), 48)[0]
    theirs = cut_one(images[0].permute(1, 2, 0).numpy(), labels["centre"][0].numpy(), 90.0, 48, 0.2)
    assert np.abs(255 * mine.permute(1, 2, 0).numpy() - theirs).max() < 2.0


def test_pictures_stay_pictures(folder):
    batches = Batches(folder)
    images, labels = batches.draw(16, 8)
    crops, _ = batches.crop(images, labels, 32, None)
    changed = batches.look(crops.clone())
    assert changed.shape == crops.shape and changed.min() >= 0 and changed.max() <= 1
    assert (changed - crops).abs().mean() > 0.01
    unchanged = (changed == crops).flatten(1).all(1)
    assert 0 < unchanged.sum() < len(crops)
    away = batches.without_face(images, labels, 32)
    assert away.amax((1, 2, 3)).float().mean() < crops.amax((1, 2, 3)).float().mean()


def _averages(run):
    with safe_open(str(run / "last.safetensors"), "pt") as file:
        return {k[8:]: file.get_tensor(k) for k in file.keys() if k.startswith("average.")}  # noqa: SIM118


def test_a_run_stops_goes_on_and_warms_another(folder, shared_data, tmp_path, monkeypatch):
    monkeypatch.setattr(vision_faces, "IDENTITIES", 1)
    monkeypatch.setattr(vision_faces, "_SKIN_FRAMES", 2)
    made = []

    def frozen(*arguments):
        made.append(made[0] if made else vision_faces.FrozenFace(*arguments))
        return made[-1]

    monkeypatch.setattr(train_vision, "FrozenFace", frozen)
    cfg = VisionConfig(expression=TINY, pose=TINY, batch=8, rendered=2, render_every=2, render_size=16)
    out = tmp_path / "run"
    out.mkdir()
    train(cfg, folder, shared_data, out, 0.02)
    first = json.loads((out / "metrics.json").read_text())
    train(cfg, folder, shared_data, out, 0.05)
    second = json.loads((out / "metrics.json").read_text())
    assert second["step"] > first["step"] > 0
    assert {"mm", "neutral_mm", "degrees", "grid_gap_r", "face_right"} <= set(second)
    assert all(np.isfinite(v) for k, v in second.items() if k not in ("config", "grid_gap_r"))
    train(cfg, folder, shared_data, tmp_path, 0.03, out, pose=False)
    before, after = _averages(out), _averages(tmp_path)
    assert all(torch.equal(before[k], after[k]) for k in before if k.startswith("pose."))
    assert any(not torch.equal(before[k], after[k]) for k in before if k.startswith("expression."))
    bare = replace(cfg, expression=replace(TINY, points=0), pose=replace(TINY, points=0))
    total, parts = train_vision.losses(Vision(bare), Batches(folder), made[0], bare, 2)
    assert total.isfinite() and "rotation" in parts and "points" not in parts
    other = Vision(cfg)
    assert warm_start(other, out) == len(other.state_dict())


def test_a_run_starts_from_what_ships(folder):
    model = Vision(VisionConfig.edge())
    train_vision.start_from_shipped(model, Batches(folder), 24)
    picture = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    shipped = load_model("vision_pose", None, "cpu").run({"image": picture})
    with torch.no_grad():
        made = model.pose.eval()(torch.from_numpy(picture).permute(0, 3, 1, 2) / 255)
    assert np.abs(made[:, 6:9].numpy() - shipped["place"]).max() < 1e-4
    assert all(m.running_var.min() > 0 for m in model.pose.modules() if isinstance(m, torch.nn.BatchNorm2d))


def test_the_skin_is_measured_as_the_evaluation_does(folder, shared_data, monkeypatch):
    monkeypatch.setattr(vision_faces, "IDENTITIES", 1)
    monkeypatch.setattr(vision_faces, "_SKIN_FRAMES", 2)
    face = vision_faces.FrozenFace(shared_data, Batches(folder), 16)
    jaw, none = torch.zeros(2, 52), torch.zeros(2, 52)
    jaw[:, 17] = torch.tensor([0.5, 1.0])
    valid = torch.ones(2, 52)
    half, whole = face.skin_mm(jaw, none, valid).tolist()
    skin = 10 * ICTRig.load(shared_data).deltas[17, : PARTS["face"][1]]
    assert whole == pytest.approx(np.linalg.norm(skin, axis=1).mean(), rel=0.05)
    assert whole == pytest.approx(2 * half, rel=0.02)
    valid[:, 17] = 0
    assert face.skin_mm(jaw, none, valid).max() < 0.02


def test_landmarks_of_a_mirrored_face_lie_mirrored(folder, shared_data, monkeypatch):
    monkeypatch.setattr(vision_faces, "IDENTITIES", 1)
    monkeypatch.setattr(vision_faces, "_SKIN_FRAMES", 2)
    batches = Batches(folder)
    face = vision_faces.FrozenFace(shared_data, batches, 16)
    _, labels = batches.take(batches.rows[:2], np.zeros(0, int))
    labels["weights"] = torch.rand(2, 52)
    labels["rotation"] = torch.tensor(head_rotation(20, 5, 8)).expand(2, 3, 3).clone()
    seen = {"rotation": labels["rotation"], "place": torch.tensor([[0.03, 0.01, 0.0]]).expand(2, 3)}
    before = face.marks(labels, seen)
    mirrored = {**labels, "mirrored": torch.ones(2, dtype=torch.bool)}
    mirrored["weights"] = labels["weights"][:, list(MIRRORED)]
    across = {
        "rotation": torch.tensor(head_rotation(-20, 5, -8)).expand(2, 3, 3),
        "place": seen["place"] * torch.tensor([-1, 1, 1]),
    }
    after = face.marks(mirrored, across)
    assert torch.allclose(after[:, vision_faces.MARK_MIRROR] * torch.tensor([-1.0, 1.0]), before, atol=1e-5)
    assert before.std() > 0.1


def test_landmarks_that_are_new_count_nothing_at_first(tmp_path):
    from safetensors.torch import save_file

    before, after = (VisionConfig(expression=replace(TINY, points=n), pose=TINY) for n in (0, 68))
    old, new = Vision(before).eval(), Vision(after).eval()
    save_file({f"average.{k}": v.contiguous() for k, v in old.state_dict().items()}, tmp_path / "last.safetensors")
    warm_start(new, tmp_path)
    picture = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(new.expression(picture), old.expression(picture), atol=1e-6)


def test_the_locator_learns_a_little(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(train_locator, "BATCH", 2)
    monkeypatch.setattr(train_locator, "BACKDROPS", 4)
    scenes = train_locator.Scenes(Batches(folder))
    images, truth = scenes.draw(3)
    assert images.shape == (3, 3, train_locator.HEIGHT, train_locator.WIDTH)
    label, where = train_locator.targets([[(80.0, 64.0, 48.0)]])
    row, column = divmod(int(where[0, 2].argmin()), label.shape[2])
    assert label[0, 8, 10] == 1 and label[0, 0, 0] == 0 and (label == -1).any()
    assert where[0, 2][label[0] == 1].unique().numel() == 1
    perfect = torch.cat([20 * (label[:, None] == 1) - 10.0, where], 1)
    wrong = torch.cat([10 - 20.0 * (label[:, None] == 1), where], 1)
    assert train_locator.loss(perfect, [[(80.0, 64.0, 48.0)]]) < 0.01
    assert train_locator.loss(wrong, [[(80.0, 64.0, 48.0)]]) > 1
