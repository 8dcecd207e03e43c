"""The headless renderer: axes, gaze, smooth edges, bad input, and no graphics libraries of the system."""

import subprocess
import sys

import numpy as np
import pytest

from media2face.bodies import render as render_module
from media2face.bodies.render import Renderer, contact_sheet, rotation_matrix
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.errors import InputError

SIZE = 160


@pytest.fixture(scope="module")
def renderer(posed):
    return Renderer(posed.rig, (SIZE, SIZE))


def weights(**values) -> np.ndarray:
    out = np.zeros((1, 52), np.float32)
    for name, value in values.items():
        out[0, ARKIT_INDEX[name]] = value
    return out


def skin(image: np.ndarray) -> np.ndarray:
    """Where the picture is skin: clearly redder than blue."""
    return image[..., 0].astype(int) > image[..., 2].astype(int) + 25


def centre(mask: np.ndarray) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    return rows.mean(), columns.mean()


def yaw(angle: float) -> tuple[float, ...]:
    return (0.0, 0.0, np.sin(angle / 2), np.cos(angle / 2))


def pitch(angle: float) -> tuple[float, ...]:
    return (0.0, np.sin(angle / 2), 0.0, np.cos(angle / 2))


def test_a_face_in_the_middle_before_a_plain_backdrop(renderer, posed):
    image = renderer.render(posed.rig.neutral)
    assert image.shape == (SIZE, SIZE, 3) and image.dtype == np.uint8
    mask = skin(image)
    row, column = centre(mask)
    assert 0.15 < mask.mean() < 0.6 and abs(column - SIZE / 2) < 4 and 0.3 * SIZE < row < 0.7 * SIZE
    assert not mask[:, :8].any() and not mask[:4].any()
    assert np.array_equal(image, renderer.render(posed.rig.neutral)), "the same input gives the same picture"


def test_turning_left_and_nodding_follow_rep_103(renderer, posed):
    """Positive yaw turns the face to its left, the picture's right; positive pitch is downwards."""
    rest = posed.rig.neutral
    _, left = centre(skin(renderer.render(rest, yaw(0.5))))
    _, right = centre(skin(renderer.render(rest, yaw(-0.5))))
    assert left > SIZE / 2 + 3 and right < SIZE / 2 - 3
    down, _ = centre(skin(renderer.render(rest, pitch(0.35))))
    up, _ = centre(skin(renderer.render(rest, pitch(-0.35))))
    assert down > up + 3


def test_translation_moves_the_head_in_metres(renderer, posed):
    rest = posed.rig.neutral
    row, column = centre(skin(renderer.render(rest)))
    moved_row, moved_column = centre(skin(renderer.render(rest, head_translation=(0.0, 0.02, 0.01))))
    pixels = 0.02 * SIZE / (2 * np.tan(render_module.HALF_ANGLE) * (render_module.DISTANCE - 0.05))
    assert 0.6 * pixels < moved_column - column < 1.1 * pixels, "the neck holds a part of the skin back"
    assert moved_row < row - 1


def test_pupils_follow_the_gaze(posed):
    """Looking to the face's left moves the dark of the eyes to the picture's right."""
    renderer = Renderer(posed.rig, (400, 400))
    eye = posed.rig.landmarks[36:42]

    def dark_column(shape: np.ndarray) -> float:
        image = renderer.render(posed.mesh(shape)[0]).astype(float).mean(axis=2)
        points = posed.rig.neutral[eye]
        away = render_module.TARGET[0] + render_module.DISTANCE - points[:, 0]
        columns = points[:, 1] / away / renderer._scale + 199.5
        rows = 199.5 - (points[:, 2] - render_module.TARGET[2]) / away / renderer._scale
        box = image[round(rows.min()) + 2 : round(rows.max()) - 1, round(columns.min()) + 3 : round(columns.max()) - 2]
        darkness = np.clip(70.0 - box, 0.0, None)
        return float((darkness.sum(axis=0) * np.arange(box.shape[1])).sum() / darkness.sum())

    left = dark_column(weights(eyeLookOutLeft=0.6, eyeLookInRight=0.6))
    right = dark_column(weights(eyeLookInLeft=0.6, eyeLookOutRight=0.6))
    assert left > right + 4


def test_edges_are_as_smooth_as_a_four_times_larger_picture(posed, monkeypatch):
    large = Renderer(posed.rig, (4 * SIZE, 4 * SIZE)).render(posed.rig.neutral)
    truth = large.reshape(SIZE, 4, SIZE, 4, 3).mean(axis=(1, 3))
    renderer = Renderer(posed.rig, (SIZE, SIZE))
    smooth = np.abs(renderer.render(posed.rig.neutral) - truth)
    monkeypatch.setattr(render_module, "EDGE", 10.0)
    jagged = np.abs(renderer.render(posed.rig.neutral) - truth)
    assert np.sqrt((smooth**2).mean()) < 0.6 * np.sqrt((jagged**2).mean())


def test_any_shape_of_picture(posed):
    assert Renderer(posed.rig, (96, 64)).render(posed.rig.neutral).shape == (64, 96, 3)
    with pytest.raises(InputError, match="at least 16"):
        Renderer(posed.rig, (8, 100))


def test_a_head_out_of_the_picture_is_backdrop(renderer, posed):
    image = renderer.render(posed.rig.neutral + np.float32([0, 5.0, 0]))
    assert not skin(image).any()


def test_bad_input_is_refused(renderer, posed):
    rest = posed.rig.neutral
    with pytest.raises(InputError, match="vertices"):
        renderer.render(rest[:-1])
    broken = rest.copy()
    broken[3, 1] = np.nan
    with pytest.raises(InputError, match="finite"):
        renderer.render(broken)
    for quaternion in ((0, 0, 0, 0), (0, 0, 1), (np.nan, 0, 0, 1)):
        with pytest.raises(InputError, match="quaternion"):
            renderer.render(rest, quaternion)
    for translation in ((0, 0), (np.inf, 0, 0)):
        with pytest.raises(InputError, match="translation"):
            renderer.render(rest, head_translation=translation)


def test_rotation_matrix():
    assert np.allclose(rotation_matrix(yaw(np.pi / 2)) @ [1, 0, 0], [0, 1, 0], atol=1e-6)
    assert np.allclose(rotation_matrix((0, 2.0, 0, 2.0)) @ [1, 0, 0], [0, 0, -1], atol=1e-6), "it is normalised"


def test_contact_sheet(renderer, posed):
    frame = renderer.render(posed.rig.neutral)
    sheet = contact_sheet([frame] * 5, columns=3, gap=2)
    assert sheet.shape == (2 * SIZE + 2, 3 * SIZE + 4, 3)
    assert np.array_equal(sheet[SIZE + 2 :, SIZE + 2 : 2 * SIZE + 2], frame)
    assert (sheet[SIZE + 2 :, 2 * SIZE + 4 :] == 255).all()
    with pytest.raises(InputError, match="one size"):
        contact_sheet([])
    with pytest.raises(InputError, match="one size"):
        contact_sheet([frame, frame[1:]])


def test_no_graphics_library_is_loaded(posed):
    code = (
        "from media2face.bodies.render import Renderer; from media2face.runtime.rig_asset import RigAsset;"
        "rig = RigAsset.load(); Renderer(rig, (32, 32)).render(rig.neutral);"
        "maps = open('/proc/self/maps').read();"
        "bad = [n for n in ('libGL', 'libEGL', 'libX11', 'libOSMesa') if n in maps];"
        "raise SystemExit(f'loaded {bad}' if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
