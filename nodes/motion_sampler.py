"""``motion_sampler``: speech features, styles and keyframes in, head motion in chunks out."""

from __future__ import annotations

from array import array

import numpy as np
from std_msgs.msg import Header

from media2face.runtime.changes import KeyChange, StyleChange
from media2face.runtime.clock import FPS
from media2face.runtime.decoder import FaceDecoder
from media2face.runtime.errors import InputError
from media2face.runtime.idle import listener_beside, silence_feature
from media2face.runtime.keyframes import key_latent, named_weights
from media2face.runtime.live import LiveMotion
from media2face.runtime.motion import RANGES, TUNED, MotionFrame, SamplerConfig
from media2face.runtime.presentation import Timeline
from media2face.runtime.sampler import MotionSampler
from media2face.runtime.sources import is_idle
from media2face.runtime.speech_window import load_speech_encoder
from media2face_msgs.msg import HeadMotion, Keyframe, PlaybackClock, SpeechFeatures, StyleEmbedding
from media2face_msgs.srv import AddKeyframe, Interrupt

from . import qos, runner
from .base import NS, AvatarNode, to_ns, to_stamp
from .parameters import PRECISION, PRESENTATION_DELAY, PROVIDER, WEIGHTS, Param

DEFAULTS = SamplerConfig()
SOON = NS // 6
"""A change "as soon as possible" touches frames seen this much later: what is published stays, and time to sample."""


class MotionSamplerNode(AvatarNode):
    """Runs :class:`.LiveMotion` by the clock."""

    NAME = "motion_sampler"
    PARAMETERS = (
        PROVIDER,
        WEIGHTS,
        PRECISION,
        PRESENTATION_DELAY,
        Param("seed", 0, "another seed, another motion that fits", 0, 2**31 - 1),
        Param("model", "student", "weights that sample: student (one step) or denoiser (four, slower)"),
        Param("steps", 0, "DDIM steps a hop, 0 for what the model needs; fewer where the machine falls behind", 0, 500),
        *(Param(name, getattr(DEFAULTS, name), text, *RANGES[name], fixed=False) for name, text in TUNED.items()),
        Param("idle", True, "between utterances the face listens: it breathes, blinks and looks about"),
        Param("horizon", 0.6, "how far ahead of presentation motion is sampled, s; changes reach back 1 s", 0.2, 10.0),
    )  # fmt: skip

    def setup(self) -> None:
        folder, provider = self.weights(), self.value("provider")
        self.decoder = FaceDecoder(folder, provider)
        self.sampler = MotionSampler(
            folder, provider, model=self.value("model"), decoder_fingerprint=self.decoder.fingerprint
        )
        steps = {"steps": self.value("steps")} if self.value("steps") else {}
        self.sampler.config = SamplerConfig.of(self.sampler.model.meta, **steps, **self._tuned())
        self.silence = silence_feature(load_speech_encoder(folder, provider)) if self.value("idle") else None
        self.listener = listener_beside(self.sampler) if self.value("idle") else None
        self.motion = self.give(HeadMotion, "head_motion", qos.MOTION)
        self.interrupted = self.give(Header, "interrupted", qos.EVENT)
        self.reset()
        self.take(SpeechFeatures, "speech_features", self.on_features, qos.FEATURES)
        self.take(StyleEmbedding, "style_embedding", self.on_style, qos.STYLES)
        self.take(Keyframe, "keyframe", self.on_keyframe, qos.PROMPT)
        self.take(PlaybackClock, "playback_clock", self.on_clock, qos.STATE)
        self.serve(AddKeyframe, "add_keyframe", self.on_add_keyframe)
        self.serve(Interrupt, "interrupt", self.on_interrupt)
        self.work(self.sample)

    def reset(self) -> None:
        """Forget every utterance."""
        self.live = LiveMotion(
            self.sampler, self.value("seed"), self.value("horizon"), self.silence, self.listener
        )
        self.timeline = Timeline(round(self.value("presentation_delay") * NS))
        self.anchors: dict[str, int] = {}
        self.stopped: list[str] = []

    def stop(self) -> None:
        self.reset()

    def troubles(self):
        return self.counts + self.live.counts if hasattr(self, "live") else self.counts

    def report(self) -> dict[str, str]:
        steps, model = self.live.shedder.steps, self.sampler.model
        return {"steps": str(steps), "utterance": self.live.utterance or "", "runs on": model.provider}

    # ------------------------------------------------------------------------------------------------ input

    def on_features(self, message: SpeechFeatures) -> None:
        if message.utterance in self.stopped:
            return
        self._check_encoder("speech", message.encoder)
        if message.dim != self.sampler.audio_dim or len(message.data) % message.dim:
            raise InputError(f"expected features of {self.sampler.audio_dim} values, got dim {message.dim}")
        if abs(message.rate - 50.0) > 1e-3:
            raise InputError(f"expected features at 50 Hz, got {message.rate:g} Hz")
        data = np.frombuffer(message.data, np.float32).reshape(-1, message.dim)
        if not np.isfinite(data).all():
            raise InputError("speech features hold NaN or infinite values: check the speech encoder's input")
        anchor = to_ns(message.header.stamp)
        if message.utterance not in self.anchors:
            self.anchors = dict(list(self.anchors.items())[-31:]) | {message.utterance: anchor}
        start = self.timeline.begin(message.utterance, anchor)
        if len(data):
            self.live.accept(message.utterance, start, message.first_feature, data)
        if message.last:
            self.timeline.finish(message.utterance, message.samples)
            self.live.finish(message.utterance, message.samples)
        self.wake()

    def on_clock(self, message: PlaybackClock) -> None:
        if message.utterance:
            start = to_ns(message.start)
            self.timeline.put(message.utterance, start)
            self.live.moved(message.utterance, start)

    def on_style(self, message: StyleEmbedding) -> None:
        self._check_encoder("style", message.encoder)
        frame = message.start_frame if message.start_frame >= 0 else None
        vector = np.frombuffer(message.vector, np.float32).copy()
        change = StyleChange(vector, message.strength, message.utterance, frame, message.ramp)
        self.live.set_style(change, self.now() + SOON)
        self.wake()

    def on_keyframe(self, message: Keyframe) -> None:
        self._add_keyframe(message)

    def on_add_keyframe(self, request: AddKeyframe.Request, response: AddKeyframe.Response) -> AddKeyframe.Response:
        response.frame = self._add_keyframe(request.keyframe)
        response.success = True
        return response

    def on_interrupt(self, request: Interrupt.Request, response: Interrupt.Response) -> Interrupt.Response:
        now = self.now()
        speaking = self.live.speaking(now)
        if speaking is None or request.utterance not in ("", speaking):
            response.message = (
                f"{request.utterance!r} is not being spoken" if request.utterance else "nothing is being spoken"
            )
            return response
        stopped = list(dict.fromkeys([speaking, *self.live.waiting()]))
        utterance, frames = self.live.interrupt(now)
        self.stopped = [*self.stopped, *stopped][-256:]
        self.timeline.stop(now)
        self._publish(utterance, frames, True)
        for name in stopped:
            self.interrupted.publish(Header(stamp=to_stamp(now), frame_id=name))
        response.success, response.utterance, response.revision = True, utterance, frames[0].revision
        self.measure("interrupt", (self.now() - now) / NS)
        return response

    # ------------------------------------------------------------------------------------------------ output

    def sample(self) -> float | None:
        """One hop, if it is time for it; seconds until the next one."""
        with self.lock:
            began = self.now()
            self.live.adjust(**self._tuned())
            result = self.live.step(began)
            if result is not None and result[1]:
                self._publish(*result)
                self.measure("idle hop" if is_idle(result[0]) else "hop", (self.now() - began) / NS)
            return self.live.wait(self.now())

    def _publish(self, utterance: str, frames: list[MotionFrame], last: bool) -> None:
        message = HeadMotion(
            utterance=utterance,
            first_frame=frames[0].index,
            frames=len(frames),
            fps=float(FPS),
            revision=frames[0].revision,
            latent_space=self.decoder.fingerprint,
            latent_dim=self.sampler.latent_dim,
            latent=_floats([f.latent for f in frames]),
            head_rotvec=_floats([f.head_rotvec for f in frames]),
            head_translation=_floats([f.head_translation for f in frames]),
            last=last,
        )
        message.header.stamp = to_stamp(self._anchor(utterance))
        self.motion.publish(message)

    def _anchor(self, utterance: str) -> int:
        """Capture time of an utterance's sample 0; of listening, one from which its frames are seen in time."""
        if is_idle(utterance):
            return self.live.listens_since - self.timeline.delay
        return self.anchors[utterance]

    def _tuned(self) -> dict[str, float]:
        return {name: self.value(name) for name in TUNED}

    def _check_encoder(self, companion: str, fingerprint: str) -> None:
        wanted = self.sampler.model.meta.get("requires", {}).get(companion)
        if wanted is not None and fingerprint != wanted:
            raise InputError(
                f"expected {companion} of encoder {wanted}, got {fingerprint!r}: use weights of one release"
            )

    def _add_keyframe(self, keyframe: Keyframe) -> int:
        if not keyframe.utterance and self.live.speaking(self.now()) is None:
            raise InputError("a keyframe belongs to speech: nothing is being spoken, and it names no utterance to come")
        if keyframe.utterance in self.stopped:
            raise InputError(f"the utterance {keyframe.utterance[:80]!r} was stopped")
        if len(keyframe.names) != len(keyframe.weights):
            raise InputError(
                f"{len(keyframe.names)} names came with {len(keyframe.weights)} weights: send one per name"
            )
        weights = named_weights(keyframe.names, np.frombuffer(keyframe.weights, np.float32))
        pose = (keyframe.head_rotvec, keyframe.head_translation) if keyframe.has_head else (None, None)
        rotvec, translation = (None if v is None else np.array([v.x, v.y, v.z], np.float32) for v in pose)
        frame = keyframe.frame if keyframe.frame >= 0 else None
        latent = key_latent(self.decoder, weights)
        change = KeyChange(latent, rotvec, translation, keyframe.utterance, frame)
        return self.live.add_keyframe(change, self.now() + SOON)


def _floats(rows: list[np.ndarray]) -> array:
    return array("f", np.concatenate(rows).astype(np.float32).tobytes())


def main() -> int:
    """Run this node."""
    return runner.main(MotionSamplerNode)
