"""The page's own logic (run by Node), what it has to share with Python (names, angles, emoji), and a fresh build."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from media2face.bodies.web.assets import STATIC
from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.errors import ModelError
from media2face.runtime.eyes import TURN_RAD
from media2face.runtime.style import StyleEncoder

WEB = Path(__file__).resolve().parents[2] / "bodies" / "web"
SOURCE = WEB / "src"


def node(*arguments: str, cwd: Path = WEB) -> str:
    """What Node says; skips where it is not installed."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node is not installed: apt-get install nodejs")
    done = subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_page_logic():
    output = node("--test", str(Path(__file__).with_name("page_logic.test.mjs")))
    assert re.search(r"pass 1\d", output) and "fail 0" in output


def test_names_and_angles_are_those_of_python():
    text = node(
        "--input-type=module", "-e",
        f"import {{ ARKIT }} from '{SOURCE / 'names.js'}'; console.log(JSON.stringify(ARKIT));",
    )  # fmt: skip
    assert tuple(json.loads(text)) == ARKIT_NAMES
    turn = re.search(r"TURN = \{([^}]*)\}", (SOURCE / "head.js").read_text())[1]
    assert {k: float(v) for k, v in re.findall(r"(\w+): ([\d.]+)", turn)} == TURN_RAD


def test_every_emoji_that_the_style_encoder_knows_is_offered():
    try:
        known = StyleEncoder()._text.meta["emoji"]
    except ModelError as error:
        pytest.skip(str(error))
    rows = re.findall(r"^\s+(\w+): '([^']*)'", (SOURCE / "emoji.js").read_text(encoding="utf-8"), re.M)
    offered = {sign: style for style, signs in rows for sign in signs.split(" ")}
    assert offered == {sign: words.split()[-1] for sign, words in known.items()}


def test_what_is_shipped_is_what_the_source_builds(tmp_path):
    if not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip(f"the page's packages are not installed: run `npm ci` in {WEB}")
    node("build.mjs", str(tmp_path))
    built = {p.name for p in tmp_path.iterdir()}
    shipped = {p.name for p in STATIC.iterdir() if p.suffix in (".html", ".css", ".js")}
    assert built == shipped
    stale = [name for name in built if (tmp_path / name).read_bytes() != (STATIC / name).read_bytes()]
    assert not stale, f"run `npm run build` in {WEB}: {stale}"


def test_nothing_is_fetched_from_elsewhere():
    for path in STATIC.iterdir():
        if path.suffix in (".html", ".css"):
            assert "//" not in re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.S)
    assert "import(\"http" not in (STATIC / "page.js").read_text(encoding="utf-8")
