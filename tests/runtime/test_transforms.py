"""Points from frame to frame."""

from __future__ import annotations

import numpy as np
import pytest

from media2face.runtime.errors import InputError
from media2face.runtime.transforms import MAX_FRAMES, FrameTree

NONE = np.array([0.0, 0.0, 0.0, 1.0])
LEFT = np.array([0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)])  # a quarter turn to the left


def test_up_and_down_the_tree():
    tree = FrameTree()
    tree.put("map", "base", NONE, np.array([1.0, 0.0, 0.0]))
    tree.put("base", "head", LEFT, np.array([0.0, 0.0, 1.5]))
    tree.put("base", "camera", NONE, np.array([0.2, 0.0, 1.0]))
    assert np.allclose(tree.transform(np.array([1.0, 0.0, 0.0]), "head", "map"), [1.0, 1.0, 1.5])
    assert np.allclose(tree.transform(np.array([1.0, 1.0, 1.5]), "map", "head"), [1.0, 0.0, 0.0])
    there = tree.transform(np.array([1.0, 2.0, 3.0]), "camera", "head")
    assert np.allclose(tree.transform(there, "head", "camera"), [1.0, 2.0, 3.0])
    assert tree.transform(np.ones(3), "unknown", "unknown").tolist() == [1, 1, 1]
    tree.put("map", "base", NONE, np.array([5.0, 0.0, 0.0]))
    assert np.allclose(tree.transform(np.zeros(3), "base", "map"), [5.0, 0.0, 0.0]), "the latest counts"


def test_frames_that_nothing_connects_are_refused():
    tree = FrameTree()
    tree.put("a", "b", NONE, np.zeros(3))
    tree.put("c", "d", NONE, np.zeros(3))
    with pytest.raises(InputError, match="no transform connects 'b' with 'd'"):
        tree.transform(np.zeros(3), "b", "d")


@pytest.mark.parametrize(
    "q, p", [([0, 0, 0, 0], [0, 0, 0]), ([np.nan, 0, 0, 1], [0, 0, 0]), ([0, 0, 0, 1], [0, np.inf, 0])]
)
def test_transforms_that_are_none_are_refused(q, p):
    with pytest.raises(InputError):
        FrameTree().put("a", "b", np.array(q, float), np.array(p, float))


def test_loops_and_floods_do_no_harm():
    tree = FrameTree()
    tree.put("a", "b", NONE, np.zeros(3))
    tree.put("b", "a", NONE, np.zeros(3))
    assert np.allclose(tree.transform(np.ones(3), "a", "b"), 1.0)
    with pytest.raises(InputError):
        tree.transform(np.ones(3), "a", "z")
    with pytest.raises(InputError):
        tree.put("a", "a", NONE, np.zeros(3))
    for i in range(MAX_FRAMES + 50):
        tree.put("root", f"f{i}", NONE, np.zeros(3))
    assert len(tree._parents) == MAX_FRAMES
