"""``style_encoder``: words or a picture in, a style embedding out."""

from __future__ import annotations

from array import array

from std_msgs.msg import String

from media2face.runtime.errors import StyleError
from media2face.runtime.markup import parse_markup
from media2face.runtime.style import StyleEmbedding as Embedding
from media2face.runtime.style import StyleEncoder
from media2face_msgs.msg import StyleEmbedding, StylePrompt
from media2face_msgs.srv import SetStyle

from . import qos, runner
from .base import NS, AvatarNode, to_ns, to_stamp
from .parameters import PRECISION, PROVIDER, WEIGHTS, Param

NEAREST = 3
DEFAULT_RAMP = 0.3


class StyleEncoderNode(AvatarNode):
    """Runs :class:`.StyleEncoder` over every prompt."""

    NAME = "style_encoder"
    PARAMETERS = (
        PROVIDER,
        WEIGHTS,
        PRECISION,
        Param("style", "", "style at start, in words; empty: neutral"),
        Param("strength", 1.0, "strength of the style at start, and of one-line prompts", 0.0, 2.0, fixed=False),
    )

    def setup(self) -> None:
        self.encoder = StyleEncoder(self.weights(), self.value("provider"))
        self.embeddings = self.give(StyleEmbedding, "style_embedding", qos.STYLES)
        self.style = ""
        self.take(StylePrompt, "style_prompt", self.on_prompt, qos.PROMPT)
        self.take(String, "style_text", self.on_text, qos.PROMPT)
        self.serve(SetStyle, "set_style", self.on_set_style)

    def start(self) -> None:
        self._use(self._prompt(self.value("style")))

    def report(self) -> dict[str, str]:
        return {"style": self.style}

    def on_prompt(self, message: StylePrompt) -> None:
        self._use(message)

    def on_text(self, message: String) -> None:
        """A style in words, or speech with marks such as ``<set expression(happy)>``, of which the last one holds."""
        marks, text = parse_markup(message.data)
        self._use(self._prompt(marks[-1].style if marks else text))

    def on_set_style(self, request: SetStyle.Request, response: SetStyle.Response) -> SetStyle.Response:
        found = self._use(request.prompt)
        response.success = True
        response.message = found.note or f"{found.style}, similarity {found.nearest[0][1]:.2f}"
        response.nearest = [name for name, _ in found.nearest[:NEAREST]]
        response.similarity = array("f", [value for _, value in found.nearest[:NEAREST]])
        return response

    def _prompt(self, text: str) -> StylePrompt:
        prompt = StylePrompt(text=text, strength=self.value("strength"), start_frame=-1, ramp=DEFAULT_RAMP)
        prompt.header.stamp = to_stamp(self.now())
        return prompt

    def _use(self, prompt: StylePrompt) -> Embedding:
        """Encode and publish.

        Raises:
            StyleError: if the prompt cannot be used; the style stays as it is.
        """
        began = self.now()
        if not 0.0 <= prompt.strength <= 2.0 or not 0.0 <= prompt.ramp <= 10.0:
            raise StyleError(
                f"strength must lie within 0 and 2, ramp within 0 and 10 s, got {prompt.strength:g} and {prompt.ramp:g}"
            )
        picture = len(prompt.image.data) > 0
        if picture and prompt.text:
            raise StyleError("a style prompt has a text or an image, got both: send two prompts")
        found = (
            self.encoder.encode_image(bytes(prompt.image.data)) if picture else self.encoder.encode_text(prompt.text)
        )
        if found.note:
            self.get_logger().info(found.note)
        self.style = found.style
        message = StyleEmbedding(
            prompt="<image>" if picture else prompt.text[:200],
            encoder=self.encoder.fingerprint,
            vector=array("f", found.vector.tobytes()),
            nearest=[name for name, _ in found.nearest[:NEAREST]],
            similarity=array("f", [value for _, value in found.nearest[:NEAREST]]),
            known=found.known,
            strength=prompt.strength,
            utterance=prompt.utterance,
            start_frame=prompt.start_frame,
            ramp=prompt.ramp,
        )
        message.header.stamp = prompt.header.stamp if to_ns(prompt.header.stamp) else to_stamp(began)
        self.embeddings.publish(message)
        self.measure("encode", (self.now() - began) / NS)
        return found


def main() -> int:
    """Run this node."""
    return runner.main(StyleEncoderNode)
