"""Several styles side by side: which moments are drawn, and what the picture and the film hold."""

from __future__ import annotations

import av
import numpy as np
import pytest

from media2face.bodies.render import Renderer
from media2face.bodies.side_by_side import LABEL_PX, film, moments, sheet
from media2face.runtime.arkit import ARKIT_INDEX
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.errors import InputError, ModelError
from media2face.runtime.offline import Performance

FRAMES, SIZE = 12, 48


@pytest.fixture(scope="module")
def decoder() -> FaceDecoder:
    try:
        made = FaceDecoder()
        assert made.rig is not None
        return made
    except ModelError as error:
        pytest.skip(f"the weights are not shipped yet: {error}")


def performance(decoder: FaceDecoder, open_at: int, smile: float) -> Performance:
    weights = np.zeros((FRAMES, 52), np.float32)
    weights[open_at, ARKIT_INDEX["jawOpen"]] = 0.6
    weights[:, [ARKIT_INDEX["mouthSmileLeft"], ARKIT_INDEX["mouthSmileRight"]]] = smile
    still = np.tile(np.float32([0, 0, 0, 1]), (FRAMES, 1))
    sound = 0.1 * np.sin(np.arange(FRAMES * 16_000 // 30) / 20).astype(np.float32)
    return Performance(weights, still, np.zeros((FRAMES, 3), np.float32), decoder.latents(weights), "test", 0, sound)


def test_moments_are_the_widest_of_each_part(decoder):
    made = [performance(decoder, 4, 0.0), performance(decoder, 9, 0.5)]
    assert moments(made, 2) == [4, 9]
    assert len(moments(made, 50)) == FRAMES
    with pytest.raises(InputError, match="one speech"):
        moments([], 3)


def test_sheet_is_the_rendered_faces_row_by_row(decoder):
    made = [performance(decoder, 4, 0.0), performance(decoder, 9, 0.8)]
    picture = sheet(made, ["none", "happy"], decoder, count=2, size=SIZE)
    assert picture.shape == (2 * (SIZE + LABEL_PX) + 2, 2 * SIZE + 2, 3)
    renderer = Renderer(decoder.rig, (SIZE, SIZE))
    for row, own in enumerate(made):
        for column, k in enumerate((4, 9)):
            face = renderer.render(decoder.mesh(own.latents[k : k + 1])[0], own.head_rotation[k])
            y, x = row * (SIZE + LABEL_PX + 2) + LABEL_PX, column * (SIZE + 2)
            assert (picture[y : y + SIZE, x : x + SIZE] == face).all()
    assert (picture[:LABEL_PX, :SIZE] < 128).any()  # words


def test_film_has_every_face_and_the_sound(decoder, tmp_path):
    made = [performance(decoder, 4, 0.0), performance(decoder, 9, 0.8), performance(decoder, 2, 0.3)]
    seen = []
    film(made, ["a", "b", "c"], tmp_path / "x.mp4", decoder, size=SIZE + 1, progress=lambda k, n: seen.append((k, n)))
    with av.open(str(tmp_path / "x.mp4")) as file:
        pictures = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
    with av.open(str(tmp_path / "x.mp4")) as file:
        sound = sum(f.samples for f in file.decode(audio=0))
    assert len(pictures) == FRAMES and seen[-1] == (FRAMES, FRAMES)
    assert pictures[0].shape == (SIZE + 1 + LABEL_PX + 1, 3 * (SIZE + 1) + 1, 3)
    assert sound >= FRAMES / 30 * 48_000
    parts = [pictures[0][LABEL_PX + 4 : SIZE, i * (SIZE + 1) : (i + 1) * (SIZE + 1)] for i in range(3)]
    assert all(p.std() > 10 for p in parts)  # a face in each
