"""Texts through an endpoint: a real HTTP server on loopback that answers well, badly, or not at all."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from media2face.data.annotation.endpoint import EndpointConfig, TextEndpoint
from media2face.data.annotation.rules import LEVELS, annotate
from media2face.data.clips import MotionClip
from media2face.runtime.errors import ConfigError

GOOD = {
    "say what": "A woman talks and turns her head.",
    "how the person feels": "She feels very happy and cheerful.",
    "movements of the face": "At first the inner brows rise. Then the lip corners pull up.",
    "movements of the head": "The head slowly turns left and comes back.",
    "three everyday": "1. Winning a race.\n2. Meeting a dear friend.\n3. Opening a parcel from home.",
}


@pytest.fixture
def server():
    """A server whose ``behaviour(question, number)`` gives (status, body)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            own = self.server
            own.requests.append((self.path, self.headers.get("Authorization"), body))
            question = body["messages"][-1]["content"]
            status, content = own.behaviour(question, len(own.requests))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.requests = []
    made.url = f"http://127.0.0.1:{made.server_port}/v1"
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join(5)


def reply(text) -> tuple[int, bytes]:
    return 200, json.dumps({"choices": [{"message": {"content": text}}]}).encode()


def good(question, number=0):
    return reply(next(v for k, v in GOOD.items() if k in question))


@pytest.fixture
def clip():
    head = np.zeros((120, 3), np.float32)
    head[30:90, 2] = np.radians(15)
    return MotionClip(np.zeros((120, 52)), "x", "synthetic", "train", head_rotvec=head, head_valid=True, style="happy",
                      intensity=0.9)  # fmt: skip


def ask(server, clip, **settings):
    config = EndpointConfig(server.url, "a-model", **{"timeout_s": 5, "tries": 3} | settings)
    waits = []
    endpoint = TextEndpoint(config, waits.append)
    before = annotate(clip, "k", speaking=True)
    return endpoint.rewrite(clip, before, True), before, endpoint, waits


def test_every_level_is_asked_for_and_taken(server, clip, monkeypatch):
    monkeypatch.setenv("MEDIA2FACE_TEXT_KEY", "secret")
    server.behaviour = good
    texts, before, endpoint, _ = ask(server, clip)
    assert texts.action == GOOD["say what"] and texts.emotion == GOOD["how the person feels"]
    assert texts.scenarios == ("Winning a race.", "Meeting a dear friend.", "Opening a parcel from home.")
    assert set(texts.written_by.values()) == {"a-model"} and texts.actions == before.actions
    assert dict(endpoint.counts) == {"asked": 5, "kept": 5}
    path, key, body = server.requests[3]
    assert path == "/v1/chat/completions" and key == "Bearer secret" and body["model"] == "a-model"
    assert "left 15 deg" in body["messages"][1]["content"]


def test_no_key_is_sent_where_there_is_none(server, clip, monkeypatch):
    monkeypatch.delenv("MEDIA2FACE_TEXT_KEY", raising=False)
    server.behaviour = good
    ask(server, clip)
    assert server.requests[0][1] is None


def test_a_passing_failure_is_tried_again_with_longer_waits(server, clip):
    server.behaviour = lambda q, n: (503, b"busy") if n <= 2 else good(q)
    texts, _, endpoint, waits = ask(server, clip)
    assert set(texts.written_by.values()) == {"a-model"} and endpoint.counts["failed"] == 0
    assert len(waits) == 2 and waits[1] > 1.3 * waits[0]


@pytest.mark.parametrize(
    "behaviour",
    [
        lambda q, n: (500, b"broken"),
        lambda q, n: (401, b"who are you"),
        lambda q, n: (200, b"no json"),
        lambda q, n: (200, b'{"choices": []}'),
        lambda q, n: (200, json.dumps({"choices": [{"message": {"content": None}}]}).encode()),
        lambda q, n: (200, b"x" * (2 << 20)),
    ],
)
def test_no_answer_leaves_the_rules(server, clip, behaviour):
    server.behaviour = behaviour
    texts, before, endpoint, _ = ask(server, clip, give_up_after=3)
    assert texts == before and endpoint.counts["kept"] == 0
    assert endpoint.counts["failed"] == endpoint.counts["asked"] == 3, "then it is given up"


@pytest.mark.parametrize(
    ("level", "answer"),
    [
        ("action", "I'm sorry, but as an AI language model I cannot see faces."),
        ("action", "ok"),
        ("emotion", "The person is deeply sad and gloomy."),
        ("emotion", "人物感到非常高兴和快乐并且大声地笑着。"),
        ("expression", "%% {{ [[ 0101 0101 ]] }} %% == == ##"),
        ("expression", "word " * 400),
        ("head_pose", "The head turns to the right and stays there."),
        ("scenarios", "Only one situation comes to mind."),
        ("scenarios", "The same thing again.\nThe same thing again.\nThe same thing again."),
    ],
)
def test_nonsense_is_counted_and_not_used(server, clip, level, answer):
    asks = dict(zip(LEVELS, GOOD, strict=True))
    server.behaviour = lambda q, n: reply(answer) if asks[level] in q else good(q)
    texts, before, endpoint, _ = ask(server, clip)
    assert getattr(texts, level) == getattr(before, level) and texts.written_by[level] == "rules"
    assert endpoint.counts["refused"] == 1 and endpoint.counts["kept"] == 4


def test_a_server_that_is_not_there(clip):
    config = EndpointConfig("http://127.0.0.1:9", "m", tries=2, give_up_after=1, timeout_s=2)
    endpoint = TextEndpoint(config, lambda s: None)
    before = annotate(clip, "k")
    assert endpoint.rewrite(clip, before, True) == before
    assert dict(endpoint.counts) == {"asked": 1, "failed": 1}


@pytest.mark.parametrize("values", [{"url": "ftp://x"}, {"url": "file:///etc/passwd"}, {"model": ""}, {"tries": 0}])
def test_settings_are_checked(values):
    with pytest.raises(ConfigError, match="expected"):
        EndpointConfig(**{"url": "http://x/v1", "model": "m"} | values)
    assert EndpointConfig("http://x/v1/chat/completions", "m").address == "http://x/v1/chat/completions"
