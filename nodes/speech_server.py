"""``speech_server``: speech and styles that come over ZeroMQ, as ``audio`` and ``style_prompt``."""

from __future__ import annotations

from array import array
from collections import Counter

from media2face.bodies.bridges.zmq_security import load_server_keys
from media2face.bodies.bridges.zmq_speech import SpeechServer, StyleRequest
from media2face.runtime.intake import Chunk
from media2face_msgs.msg import AudioChunk, StylePrompt

from . import qos, runner
from .audio_messages import message_of
from .base import AvatarNode, to_stamp
from .parameters import Param

WAIT_S = 0.2


class SpeechServerNode(AvatarNode):
    """Runs a :class:`.SpeechServer`; what it takes is published as any other node would."""

    NAME = "speech_server"
    PARAMETERS = (
        Param("zmq_in", "tcp://127.0.0.1:5571", "ZeroMQ endpoint to listen on"),
        Param("zmq_keys", "", "folder of CurveZMQ keys; needed off this machine, made by media2face zmq-keys"),
    )

    def setup(self) -> None:
        keys = load_server_keys(self.value("zmq_keys")) if self.value("zmq_keys") else None
        self.server = SpeechServer(self.value("zmq_in"), keys)
        self.line = self.server.line
        self.get_logger().info(self.line)
        self.audio = self.give(AudioChunk, "audio", qos.AUDIO)
        self.prompts = self.give(StylePrompt, "style_prompt", qos.PROMPT)
        self.work(self.listen)

    def teardown(self) -> None:
        if hasattr(self, "server"):
            self.server.close()
            del self.server

    def troubles(self) -> Counter[str]:
        return Counter(self.counts) + Counter(self.server.counts if hasattr(self, "server") else {})

    def report(self) -> dict[str, str]:
        return {"requests": str(self.server.served)}

    def listen(self) -> float:
        """Answer a request, if one comes."""
        self.server.serve(self.on_request, self.now, WAIT_S)
        return 0.0

    def on_request(self, request: Chunk | StyleRequest) -> None:
        """Publish it."""
        if isinstance(request, Chunk):
            self.audio.publish(message_of(request))
            return
        prompt = StylePrompt(
            text=request.text, strength=request.strength, utterance=request.utterance,
            start_frame=request.start_frame, ramp=request.ramp,
        )  # fmt: skip
        prompt.image.data = array("B", request.image)
        prompt.header.stamp = to_stamp(self.now())
        self.prompts.publish(prompt)


def main() -> int:
    """Run this node."""
    return runner.main(SpeechServerNode)
