"""The spellings of ARKit's names that are understood, in Python and on the page alike."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from media2face.bodies.gltf.shape_names import arkit_name, match
from media2face.runtime.arkit import ARKIT_NAMES

SPELLINGS = {
    "jawOpen": "jawOpen", "JawOpen": "jawOpen", "jaw_open": "jawOpen", "JAW_OPEN": "jawOpen",
    "eyeBlinkLeft": "eyeBlinkLeft", "eyeBlink_L": "eyeBlinkLeft", "eyeBlink_R": "eyeBlinkRight",
    "EyeBlinkLeft": "eyeBlinkLeft", "eyeBlink.L": "eyeBlinkLeft", "eyeBlinkL": "eyeBlinkLeft",
    "eye_blink_left": "eyeBlinkLeft", "EYE_BLINK_LEFT": "eyeBlinkLeft", "eyeBlink_left": "eyeBlinkLeft",
    "blendShape1.jawOpen": "jawOpen", "blendShape1.eyeBlink_L": "eyeBlinkLeft", "Wolf3D_Head:jawOpen": "jawOpen",
    "ARKit_jawOpen": "jawOpen", "mouthLeft": "mouthLeft", "mouth_L": "mouthLeft", "jaw_R": "jawRight",
    "mouthRollLower": "mouthRollLower", "mouthRollUpper": "mouthRollUpper", "mouthShrugUpper": "mouthShrugUpper",
    "browInnerUp": "browInnerUp", "browInnerUp_L": "browInnerUp", "browInnerUp_R": "browInnerUp",
    "cheekPuff_L": "cheekPuff", "TongueOut": "tongueOut", "mouthLowerDown_R": "mouthLowerDownRight",
    "NoseSneerRight": "noseSneerRight", "mouthUpperUp_L": "mouthUpperUpLeft",
}  # fmt: skip
STRANGERS = ["", "Fcl_MTH_A", "viseme_aa", "mouthOpen", "eyesClosed", "blink", "L", "left", "jaw", "_", ".", "L_"]


@pytest.mark.parametrize("name", SPELLINGS)
def test_spellings_in_use(name):
    assert arkit_name(name) == SPELLINGS[name]


@pytest.mark.parametrize("name", [*STRANGERS, None, 3, ["jawOpen"], "jawOpen" * 100])
def test_what_is_no_arkit_name(name):
    assert arkit_name(name) is None


def test_every_name_in_every_common_spelling():
    for name in ARKIT_NAMES:
        side = next((s for s in ("Left", "Right") if name.endswith(s)), "")
        base = name[: len(name) - len(side)]
        short = f"{base}_{side[0]}" if side else name
        for spelling in (name, name[0].upper() + name[1:], short, f"a.b.{short}", f"Mesh_{name}", f"{name}.001"):
            assert arkit_name(spelling) == name, spelling


def test_match_says_what_is_found_and_what_is_not():
    got = match(["JawOpen", "jaw_open", "blink", "eyeBlink_L"])
    assert got.found == ((0, "jawOpen"), (1, "jawOpen"), (3, "eyeBlinkLeft"))
    assert got.unused == ("blink",) and len(got.missing) == 50 and "eyeBlinkRight" in got.missing


def test_the_page_reads_names_as_we_do():
    script = Path(__file__).parents[2] / "bodies" / "web" / "src" / "names.js"
    if shutil.which("node") is None or not script.is_file():
        pytest.skip("node or the page's source is not here")
    names = [*SPELLINGS, *STRANGERS, *ARKIT_NAMES]
    code = (
        f"import({json.dumps(script.as_uri())}).then(m => console.log(JSON.stringify("
        f"{json.dumps(names)}.map(n => m.ARKIT[m.arkitIndex(n)] ?? null))))"
    )
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == [arkit_name(n) for n in names]
