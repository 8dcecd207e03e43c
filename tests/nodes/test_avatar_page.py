"""The page in real Chromium: it moves, follows the topic by its stamps, comes back, and takes one's own head."""

from __future__ import annotations

import io
import itertools
import json
import threading
import time
from array import array

import numpy as np
import pytest
from geometry_msgs.msg import PoseStamped
from glb_maker import glb
from harness import until
from PIL import Image

from media2face.evaluation.chromium import Chromium, find_chromium
from media2face.nodes import qos
from media2face.nodes.base import to_stamp
from media2face.runtime.arkit import ARKIT_NAMES
from media2face_msgs.msg import AudioChunk, Expression, PlaybackClock
from media2face_msgs.srv import AddKeyframe, Interrupt, SetStyle

JAW = ARKIT_NAMES.index("jawOpen")
UP = "window.avatarPage?.head && avatarPage.connection.clock.known"
SHOWN = f"avatarPage.weights[{JAW}]"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    made = Chromium(tmp_path_factory.mktemp("chromium"))
    yield made
    made.close()


@pytest.fixture
def view(avatar):
    graph = avatar("avatar_view", page_port=0)
    assert not graph.failures, graph.failures
    return graph.nodes["avatar_view"]


@pytest.fixture
def tab(chromium, view):
    made = chromium.open(view.server.address)
    made.until(UP, 60)
    yield made
    made.close()


class Face:
    """Publishes frames as the decoder does: each some time before it is to be seen."""

    def __init__(self, listener, ahead: float = 0.08) -> None:
        self.faces = listener.publisher(Expression, "expression", qos.FRAMES)
        self.poses = listener.publisher(PoseStamped, "head_pose", qos.FRAMES)
        self.ahead = ahead
        self.sent: list[tuple[float, float]] = []
        """When each frame was published (wall clock, s), and its jaw."""
        self.count = itertools.count()
        self._going = threading.Event()
        self._thread = None

    def frame(self, jaw: float, present: float, revision: int = 0, utterance: str = "u", **names) -> None:
        values = np.zeros(52, np.float32)
        values[JAW] = jaw
        for name, value in names.items():
            values[ARKIT_NAMES.index(name)] = value
        message = Expression(
            utterance=utterance, frame=next(self.count), revision=revision, names=list(ARKIT_NAMES),
            weights=array("f", values.tobytes()),
        )  # fmt: skip
        message.header.stamp = to_stamp(round(present * 1e9))
        self.sent.append((time.time(), jaw))
        self.faces.publish(message)
        pose = PoseStamped(header=message.header)
        pose.pose.orientation.w = 1.0
        self.poses.publish(pose)

    def play(self, curve, **options) -> None:
        """Thirty frames a second of ``curve(time at which it is seen)``, until :meth:`stop`."""
        self._going.set()

        def run() -> None:
            present = time.time() + self.ahead
            while self._going.is_set():
                if not options.get("drop") or next(self.count) % options["drop"]:
                    self.frame(curve(present), present)
                present += 1 / 30
                time.sleep(max(present - self.ahead - time.time(), 0))

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._going.clear()
        if self._thread:
            self._thread.join()


@pytest.fixture
def face(listener, tab):
    made = Face(listener)
    yield made
    made.stop()


def pixels(tab) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(tab.picture())).convert("RGB"), np.int16)[:, :850]


def ramp(present: float) -> float:
    """From 0 to 1 in 1.6 s, then down at once."""
    return present % 1.6 / 1.6


FOLLOW = """new Promise(done => { const seen = []; const began = performance.now(); const look = () => {
  const wall = performance.timeOrigin + performance.now();
  if (avatarPage.face52.frames.length) seen.push([wall / 1000, avatarPage.weights[%d]]);
  performance.now() - began < %d ? requestAnimationFrame(look) : done(seen); }; requestAnimationFrame(look); })"""


def lags(seen: list) -> np.ndarray:
    """How far what is shown lies behind its moment, s."""
    return np.array([(((wall - 1.6 * value) + 0.8) % 1.6) - 0.8 for wall, value in seen if 0.08 < value < 0.92])


def test_it_moves(tab, face):
    jaw = [0.0]
    face.play(lambda _: jaw[0])
    tab.until("avatarPage.face52.counts.taken > 10")
    closed = pixels(tab)
    jaw[0] = 0.9
    tab.until(f"Math.abs({SHOWN} - 0.9) < 0.01")
    time.sleep(0.3)
    opened = pixels(tab)
    changed = np.abs(opened - closed).max(axis=2) > 40
    rows, columns = np.nonzero(changed)
    assert changed.sum() > 1000, "an open mouth changes the picture"
    assert 200 < columns.mean() < 650 and rows.mean() > 350, "and it changes where the mouth is"
    tab.until("avatarPage.head.drivers.some(d => d.places.some(([s, p]) => s === 17 && d.influences[p] > 0.89))")
    assert not tab.errors()


def test_it_follows_the_topic_by_its_stamps(tab, face):
    face.play(ramp)
    time.sleep(1.5)
    seen = tab.ask(FOLLOW % (JAW, 4000))
    late = lags(seen)
    assert len(late) > 20
    assert abs(np.median(late)) <= 0.05, f"median {1e3 * np.median(late):.0f} ms"


PIXELS = """new Promise(done => { const seen = [], began = performance.now(), c = avatarPage.stage.canvas;
  const gl = c.getContext('webgl2'), w = c.width >> 2, h = c.height >> 2, data = new Uint8Array(4 * w * h);
  let last = null; const look = t => { if (last !== null) seen.push([(performance.timeOrigin + t) / 1000, last]);
    gl.readPixels((c.width - w) >> 1, (c.height * 0.22) | 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, data);
    last = data.reduce((a, b) => a + b, 0) / data.length;
    performance.now() - began < %d ? requestAnimationFrame(look) : done(seen); }; requestAnimationFrame(look); })"""


def test_motion_to_pixel(tab, face):
    """From a frame's publication to the picture that shows it, read from the canvas's own pixels."""
    tab.ask("avatarPage.stage.draw = (draw => (...a) => { avatarPage.stage.dirty = true; return draw(...a); })"
            "(avatarPage.stage.draw.bind(avatarPage.stage))")  # fmt: skip
    tab.ask("avatarPage.stage.quality.fixed = avatarPage.stage.quality.level")
    face.ahead = 0.05
    face.play(lambda present: float(int(present * 1.25) % 2))
    tab.until("avatarPage.face52.counts.taken > 10")
    seen = np.array(tab.ask(PIXELS % 8000))
    low, high = np.percentile(seen[:, 1], [15, 85])
    assert high - low > 2, "the mouth's pixels change"
    middle = (low + high) / 2
    turns = seen[1:, 0][np.diff(seen[:, 1] > middle)]
    sent = np.array(face.sent)
    flips = sent[1:, 0][np.diff(sent[:, 1]) != 0]
    before = np.searchsorted(flips, turns) - 1
    delays = (turns - flips[before])[before >= 0]
    assert len(delays) >= 6
    drawn = np.median(np.diff(seen[:, 0]))  # where Chromium draws slower than 40 times a second, two of its pictures
    limit = max(0.1, face.ahead + 2 * drawn)
    assert np.median(delays) <= limit, f"{1e3 * np.median(delays):.0f} ms from publication to pixel, {limit=:.3f}"


def test_it_survives_dropped_frames(tab, face):
    face.play(ramp, drop=3)
    time.sleep(1.5)
    late = lags(tab.ask(FOLLOW % (JAW, 3000)))
    assert len(late) > 15 and abs(np.median(late)) <= 0.05


def test_a_higher_revision_replaces_what_waits(tab, face):
    def burst(jaw: float, start: float, revision: int) -> None:
        for k in range(45):
            face.frame(jaw, start + k / 30, revision=revision)
            time.sleep(0.005)

    burst(0.8, time.time() + 0.5, revision=1)
    now = time.time() + 0.3
    burst(0.1, now, revision=2)
    face.frame(0.9, now + 1.0, revision=1)
    tab.until(f"Math.abs({SHOWN} - 0.1) < 0.01", 5)
    counts = tab.ask("avatarPage.face52.counts")
    assert counts["replaced"] > 5 and counts["old"] == 1


def test_a_stream_that_stops_is_held_then_eased_to_rest(tab, face):
    face.play(lambda _: 0.7)
    tab.until(f"{SHOWN} > 0.65")
    face.stop()
    end = time.time() + face.ahead
    seen = tab.ask(FOLLOW % (JAW, 2500))
    assert min((v for t, v in seen if t < end + 0.3), default=1.0) > 0.65, "held for half a second"
    values = [v for _, v in seen]
    assert values[-1] == 0.0
    assert all(b <= a + 1e-3 for a, b in zip(values, values[1:], strict=False)), "and no jump on the way to rest"


def test_it_comes_back_after_the_servers_restart(tab, view, face):
    port = int(view.server.address.rstrip("/").rpartition(":")[2])
    view.trigger_deactivate()
    view.trigger_cleanup()
    tab.until("document.getElementById('state').textContent.includes('lost')")
    view.set_parameters([view.get_parameter("page_port").__class__("page_port", value=port)])
    view.trigger_configure()
    view.trigger_activate()
    assert view.server.address.endswith(f":{port}/")
    tab.until("avatarPage.connection.connected", 30)
    until(lambda: face.faces.get_subscription_count() == 1, 10, "the subscription again")
    face.play(lambda _: 0.6)
    tab.until(f"Math.abs({SHOWN} - 0.6) < 0.01")


def test_a_sleeping_tab_wakes_to_the_present(tab, view, face):
    window = tab.call("Browser.getWindowForTarget")["windowId"]
    tab.call("Browser.setWindowBounds", windowId=window, bounds={"windowState": "minimized"})
    until(lambda: not view.server.watched, 20, "the server to notice")
    face.play(ramp)
    time.sleep(1.0)
    assert tab.ask("document.visibilityState") == "hidden"
    tab.call("Browser.setWindowBounds", windowId=window, bounds={"windowState": "normal"})
    tab.until("avatarPage.face52.moving(avatarPage.connection.clock.at(performance.now()))", 30)
    late = lags(tab.ask(FOLLOW % (JAW, 2500)))
    assert len(late) and abs(np.median(late)) <= 0.05


def test_page_number_seventeen_says_why_it_waits(chromium, view):
    from test_avatar_view import Page

    sixteen = [Page(view.server.address) for _ in range(16)]
    tab = chromium.open(view.server.address)
    try:
        tab.until("document.getElementById('state').textContent.includes('16 pages are open already')", 60)
    finally:
        tab.close()
        for one in sixteen:
            one.close()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (320, 640)])
def test_a_phones_width(chromium, view, listener, width, height):
    tab = chromium.open(view.server.address, width, height, mobile=True)
    try:
        tab.until(UP, 60)
        assert tab.ask("document.documentElement.scrollWidth") <= width, "nothing sticks out sideways"
        sizes = tab.ask("[...document.querySelectorAll('button, select, #style')].filter(b => b.offsetParent)"
                        ".map(b => [b.textContent, b.getBoundingClientRect().width, b.offsetHeight])")  # fmt: skip
        assert all(0 < w <= width and h >= 28 for _, w, h in sizes), sizes
        stage = tab.ask("document.getElementById('canvas').getBoundingClientRect().toJSON()")
        assert stage["width"] == width and stage["height"] > 0.35 * height
    finally:
        tab.close()


def test_every_control_has_a_name(tab):
    nameless = tab.ask(
        "[...document.querySelectorAll('button, input, select, canvas')].filter(e => !(e.textContent.trim() "
        "|| e.labels?.length || e.getAttribute('aria-label'))).map(e => e.outerHTML)"
    )
    assert nameless == []


# ------------------------------------------------------------------------------------------------ asking


def test_words_emoji_pictures_keyframes_and_interrupt(tab, view, listener, tmp_path):
    asked = []

    def serve(kind, name, text, success=True):
        def answer(request, response):
            asked.append((name, request))
            response.success, response.message = success, text
            return response

        listener.node.create_service(kind, name, answer)

    serve(SetStyle, "set_style", "happy, similarity 0.91")
    serve(AddKeyframe, "add_keyframe", "a keyframe belongs to speech", success=False)
    serve(Interrupt, "interrupt", "")
    tab.until("avatarPage.connection.namespace === '/avatar'")
    until(lambda: view.known == ["/avatar"], 10, "the node to know its avatar")
    note = "document.getElementById('note').textContent"
    tab.ask("document.getElementById('style').value = 'a cheerful host'; "
            "document.getElementById('strength').value = 1.5; document.getElementById('style-form').requestSubmit()")
    tab.until(f"{note} === 'happy, similarity 0.91'")
    assert asked[-1][1].prompt.text == "a cheerful host" and asked[-1][1].prompt.strength == 1.5
    tab.ask("document.querySelector('#emoji button').click()")
    until(lambda: asked[-1][1].prompt.text == "😀", 10, "the emoji")
    picture = tmp_path / "smile.png"
    Image.new("RGB", (900, 600), (200, 120, 80)).save(picture)
    tab.choose_file("#picture", picture)
    until(lambda: len(asked[-1][1].prompt.image.data) > 0, 10, "the picture")
    assert max(Image.open(io.BytesIO(bytes(asked[-1][1].prompt.image.data))).size) == 512, "shrunk before it is sent"
    (tmp_path / "broken.png").write_bytes(b"\x89PNG nothing")
    tab.choose_file("#picture", tmp_path / "broken.png")
    tab.until(f"{note}.includes('no picture')")
    tab.ask("document.querySelector('#keyframes button').click()")
    tab.until(f"{note} === 'a keyframe belongs to speech'")
    assert "mouthSmileLeft" in asked[-1][1].keyframe.names
    tab.press("Escape")
    until(lambda: asked[-1][0] == "interrupt", 10, "the interrupt")
    assert not tab.errors()


def test_sound_in_step(tab, view, listener):
    """What is scheduled on the audio clock is heard at its moment, and drawn as a wave."""
    audio = listener.publisher(AudioChunk, "audio", qos.AUDIO)
    clock = listener.publisher(PlaybackClock, "playback_clock", qos.STATE)
    tab.ask("avatarPage.controls.toggleSound()")
    if not tab.ask("avatarPage.sound.on"):
        pytest.skip("this Chromium has no audio clock")
    start = time.time() + 0.4
    clock.publish(PlaybackClock(utterance="u", start=to_stamp(round(start * 1e9)), presentation_delay=0.3))
    tab.until("avatarPage.sound.starts.size === 1")
    tone = (0.5 * np.sin(np.arange(32000) / 5)).astype(np.float32)
    for k in range(20):
        audio.publish(AudioChunk(utterance="u", first_sample=1600 * k, sample_rate=16000, channels=1,
                                 float32_data=array("f", tone[1600 * k : 1600 * (k + 1)].tobytes()),
                                 last=k == 19))  # fmt: skip
    tab.until("avatarPage.sound.wave.length === 20")
    found = tab.ask("""(() => { const s = avatarPage.sound, t = s.context.getOutputTimestamp();
      const local = t.performanceTime + 1000 * (s.anchor.time - t.contextTime);
      return [performance.timeOrigin + local, s.nodes.size]; })()""")
    assert abs(found[0] / 1e3 - start) < 0.05, f"{1e3 * (found[0] / 1e3 - start):.0f} ms from its moment"
    assert found[1] > 5
    tab.ask("avatarPage.sound.silence()")
    assert tab.ask("avatarPage.sound.nodes.size") == 0


# ------------------------------------------------------------------------------------------------ one's own head

LEFT_RIGHT = [n for n in ARKIT_NAMES if n.endswith(("Left", "Right"))]
SPELLINGS = {
    "arkit": list(ARKIT_NAMES),
    "capitals": [n[0].upper() + n[1:] for n in ARKIT_NAMES],
    "sides": [n.replace("Left", "_L").replace("Right", "_R") for n in ARKIT_NAMES],
    "mesh": [f"mesh.{n}" for n in ARKIT_NAMES],
    "maya": [f"blendShape1.{n.replace('Left', '_L').replace('Right', '_R')}" for n in ARKIT_NAMES],
    "ready player me": [*ARKIT_NAMES, "mouthOpen", "viseme_aa", "viseme_PP", "mouthSmile"],
}
NOTE = "document.getElementById('note').textContent"


def show(tab, path) -> None:
    tab.ask("document.getElementById('note').textContent = ''")
    tab.choose_file("#head-file", path)


def test_heads_in_the_spellings_in_use(tab, tmp_path):
    for name, names in SPELLINGS.items():
        path = tmp_path / f"{name.replace(' ', '_')}.glb"
        path.write_bytes(glb(names, bones=name == "mesh"))
        show(tab, path)
        tab.until(f"avatarPage.head.name === {json.dumps(path.name)}")
        match = tab.ask("avatarPage.head.match")
        assert len(match["found"]) == 52 and not match["missing"], (name, match["missing"])
        assert match["unused"] == names[52:]
        assert match["bones"] == (["head", "eye left", "eye right"] if name == "mesh" else [])
        assert "52 of 52" in tab.ask("document.getElementById('match-summary').textContent")
    tab.ask("document.getElementById('head-default').click()")
    tab.until("avatarPage.head.name === 'default head'")


def test_a_vrm_with_perfect_sync_and_one_without(tab, tmp_path):
    def binds(*names):
        return {n: {"morphTargetBinds": [{"node": 0, "index": k, "weight": 1.0}]} for k, n in enumerate(names)}

    synced = binds(*(n[0].upper() + n[1:] for n in ARKIT_NAMES))
    (tmp_path / "synced.vrm").write_bytes(glb([f"shape{k}" for k in range(52)], vrm={"custom": synced}))
    show(tab, tmp_path / "synced.vrm")
    tab.until("avatarPage.head.name === 'synced.vrm'")
    match = tab.ask("avatarPage.head.match")
    assert len(match["found"]) == 52 and match["bones"] == ["head", "eye left", "eye right"]
    plain = {"preset": binds("aa", "blinkLeft", "blinkRight")}
    (tmp_path / "plain.vrm").write_bytes(glb(["a", "b", "c"], vrm=plain))
    show(tab, tmp_path / "plain.vrm")
    tab.until("avatarPage.head.name === 'plain.vrm'")
    assert tab.ask("avatarPage.head.match.stands") == ["aa", "blinkLeft", "blinkRight"]
    moved = tab.ask("""(() => { const h = avatarPage.head; const w = new Float32Array(52); w[17] = 1;
      h.apply(w, [0, 0, 0, 1, 0, 0, 0]); h.update(0.016); return h.meshes[0].morphTargetInfluences[0]; })()""")
    assert moved == pytest.approx(1.0)
    assert not tab.errors()


def test_files_that_are_no_head_leave_the_old_one(tab, tmp_path):
    good = glb(list(ARKIT_NAMES))
    huge = tmp_path / "huge.glb"
    with open(huge, "wb") as file:
        file.truncate(500_000_000)
    cases = {
        "still.glb": (glb(None), "no morph targets"),
        "others.glb": (glb(["smile", "Fcl_ALL_Joy"]), "none with an ARKit name"),
        "cut.glb": (good[: len(good) // 2], "truncated"),
        "short.glb": (good[:10], "no GLB"),
        "text.glb": (b"hello, this is a text and not a head at all", "no GLB"),
        "one.glb": (good[:4] + b"\1\0\0\0" + good[8:], "version 2"),
        "json.glb": (good[:20] + b"\xff" * 40 + good[60:], "JSON cannot be read"),
        "empty.glb": (glb(list(ARKIT_NAMES), meshes=[]), "no mesh"),
        "apart.glb": (glb(list(ARKIT_NAMES), buffers=[{"uri": "http://x.org/x", "byteLength": 9}]), "needs another"),
        "lost.glb": (glb(list(ARKIT_NAMES), bufferViews=[]), "cannot be read"),
    }  # fmt: skip
    show(tab, huge)
    tab.until(f"{NOTE}.includes('500 MB')")
    for name, (data, says) in cases.items():
        (tmp_path / name).write_bytes(data)
        show(tab, tmp_path / name)
        tab.until(f"{NOTE}.includes({json.dumps(says)}) && {NOTE}.includes({json.dumps(name)})", 10)
        assert tab.ask("avatarPage.head.name") == "default head"
