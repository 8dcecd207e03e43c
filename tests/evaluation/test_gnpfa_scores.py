"""GNPFA's figures: baselines are what they say, goals are judged the right way round, faces are held out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media2face.data.expressions import range_of_motion
from media2face.data.range_of_motion import RangeOfMotion, sample_identities
from media2face.data.rig import ICTRig
from media2face.evaluation.figures import Figure
from media2face.evaluation.gnpfa import as_dict, markdown
from media2face.evaluation.gnpfa_faces import LinearFaces, TestFaces, best_codes, real_frames
from media2face.evaluation.gnpfa_pictures import EXPRESSIONS, weights_of
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.decoder import FaceDecoder


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> TestFaces:
    return TestFaces(RangeOfMotion(ICTRig.load(shared_data)), FaceDecoder().rig, shared_data, people=2, faces=6)


def test_goals_are_judged_the_right_way_round():
    low, fast = Figure("a", 0.4, "mm", "x", 0.5), Figure("f", 400.0, "frames/s", "y", 500.0, at_least=True)
    assert low.met and not fast.met and Figure("n", 1.0, "", "").met is None
    text = markdown([low, fast])
    assert "<= 0.5 yes" in text and ">= 500 **no**" in text
    assert as_dict([low])["a"] == {"value": 0.4, "unit": "mm", "goal": 0.5, "met": True, "beside": {}, "what": "x"}


def test_the_truth_survives_the_drawn_head(faces: TestFaces):
    for face in faces.people:
        seen = faces.skin_offsets(face, faces.mesh(face))
        assert 10 * np.abs(seen - face.offsets[:, faces.skin]).max() < 0.01
    assert 100 < len(faces.lips) < len(faces.skin)
    assert faces.away(faces.people[0], from_own=True).mean() <= faces.away(faces.people[1], from_own=False).mean()


def test_linear_faces_rebuild_what_they_span(faces: TestFaces, shared_data: Path):
    linear = LinearFaces(faces, shared_data, people=3, each=6, axes=17)
    inside = (linear.mean + linear.axes[:4].sum(0)).reshape(1, -1, 3)
    assert np.allclose(linear.rebuild(inside, 4), inside, atol=1e-3)
    true = faces.true()
    few, many = (np.linalg.norm(linear.rebuild(true, k) - true, axis=-1).mean() for k in (2, 17))
    assert many < few < np.linalg.norm(true, axis=-1).mean()
    assert (np.diff(linear.share) >= 0).all() and linear.share[-1] <= 1 + 1e-5


def test_best_codes_come_nearer(faces: TestFaces):
    decoder, face = FaceDecoder(), faces.people[1]
    face.weights, face.offsets = face.weights[:2], face.offsets[:2]
    start = decoder.latents(face.weights)
    true = face.offsets[:, faces.skin]
    best = best_codes(decoder, faces, face, start, rounds=2)
    made = [faces.skin_offsets(face, decoder.mesh(z, face.neutral)) for z in (start, best)]
    before, after = (np.linalg.norm(m - true, axis=-1).mean() for m in made)
    assert after < before


def test_nothing_of_the_test_split_was_trained_on(shared_data: Path):
    trained = range_of_motion(shared_data, "train")
    held_out = real_frames(shared_data)["livelink"]
    assert len(held_out) > 300
    nearest = [np.abs(trained - frame).max(axis=1).min() for frame in held_out[::60]]
    assert min(nearest) > 0
    assert not np.isin(sample_identities(3, "test"), sample_identities(50, "train")).any(axis=1).all()


def test_named_expressions_set_both_sides():
    weights = weights_of(*EXPRESSIONS.values())
    smile = weights[list(EXPRESSIONS).index("smile")]
    assert smile[ARKIT_INDEX["mouthSmileLeft"]] == smile[ARKIT_INDEX["mouthSmileRight"]] == 1.0
    assert weights[list(EXPRESSIONS).index("laugh")][ARKIT_INDEX["jawOpen"]] == 0.5
