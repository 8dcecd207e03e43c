"""Texts from a language model behind any OpenAI-compatible endpoint (``URL/chat/completions``).

As in the paper, each level is asked for on its own, with labels per stretch of time. An answer that fails, is nonsense
or contradicts the motion is dropped: the rules' text stays, and is counted. The key comes from an environment variable.
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import random
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from media2face.data.annotation.action_units import LETTERS, UNITS
from media2face.data.annotation.rules import LEVELS, Texts
from media2face.data.annotation.timeline import pose_events, swing_events, unit_events
from media2face.data.annotation.wording import EMOTIONS
from media2face.data.clips import MotionClip
from media2face.runtime.errors import ConfigError

log = logging.getLogger(__name__)

KEY_VARIABLE = "MEDIA2FACE_TEXT_KEY"
MAX_ANSWER_BYTES = 1 << 20
_RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
_REFUSAL = re.compile(r"\b(as an ai|language model|i cannot|i can't|i'm sorry|i am sorry|unable to)\b", re.I)

SYSTEM = (
    "You describe face motion for a data set. Answer with plain English text only: no headings, no lists, no quotation "
    "marks, nothing about yourself, nothing that the labels do not say."
)
ASKS = {
    "action": "In one short sentence in the present tense, say what the person does, in order: {actions}.",
    "emotion": "In one short sentence, say how the person feels. The emotion is {emotion}, {degree}.",
    "expression": "In two to four sentences, describe the movements of the face in order of time. FACS action units "
    "with intensity A (trace) to E (maximum) and times: {units}.",
    "head_pose": "In one to three sentences, describe the movements of the head in order of time. Labels with degrees "
    "and times: {poses}.",
    "scenarios": "Imagine three everyday situations that may cause a person to feel {emotion}. One sentence each, each "
    "on a line of its own.",
}


@dataclass(frozen=True)
class EndpointConfig:
    """How to ask.

    Attributes:
        url: base address, with or without ``/chat/completions``. model: its name there.
        key_variable: environment variable with the key; none is sent if it is not set.
        timeout_s: of one request. tries: requests per question; waits double from ``wait_s``.
        give_up_after: questions in a row without an answer after which no more are asked.
        temperature: of sampling.
    """

    url: str
    model: str
    key_variable: str = KEY_VARIABLE
    timeout_s: float = 60.0
    tries: int = 4
    wait_s: float = 1.0
    give_up_after: int = 5
    temperature: float = 0.7

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^/\s]+", self.url):
            raise ConfigError(f"expected a text endpoint like https://host/v1, got {self.url!r}")
        if not self.model:
            raise ConfigError("expected the name of the endpoint's model (--text-model)")
        if self.tries < 1 or self.give_up_after < 1 or not self.timeout_s > 0 or self.wait_s < 0:
            raise ConfigError("expected tries and give_up_after of 1 or more, timeout_s > 0 and wait_s >= 0")

    @property
    def address(self) -> str:
        """Where requests go."""
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else base + "/chat/completions"


class TextEndpoint:
    """Asks, retries, checks and counts.

    Attributes:
        counts: ``asked``, ``kept``, ``failed`` (no answer), ``refused`` (an answer that was not used).
    """

    def __init__(self, config: EndpointConfig, sleep: Callable[[float], None] = time.sleep) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._sleep = sleep
        self._failures = 0

    def rewrite(self, clip: MotionClip, texts: Texts, speaking: bool) -> Texts:
        """The texts with every level the endpoint gave a usable answer for; the others stay as they are."""
        labels = _labels(clip, texts, speaking)
        written, by = {}, dict(texts.written_by)
        for level in LEVELS:
            if level == "head_pose" and not clip.head_valid:
                continue
            answer = self.ask(SYSTEM, ASKS[level].format(**labels))
            problem = "no answer" if answer is None else check(level, answer, texts, labels)
            if problem:
                if answer is not None:
                    self.counts["refused"] += 1
                    log.info("the endpoint's %s was not used: %s", level, problem)
                continue
            self.counts["kept"] += 1
            written[level] = tuple(_lines(answer)) if level == "scenarios" else " ".join(answer.split())
            by[level] = self.config.model
        return replace(texts, **written, written_by=by)

    def ask(self, system: str, question: str) -> str | None:
        """The answer's text, or None after all tries, or once the endpoint was given up."""
        if self._failures >= self.config.give_up_after:
            return None
        self.counts["asked"] += 1
        for number in range(self.config.tries):
            if number:
                self._sleep(self.config.wait_s * 2 ** (number - 1) * random.uniform(0.8, 1.2))
            try:
                text = self._request(system, question)
            except urllib.error.HTTPError as error:
                log.info("the text endpoint answered %s", error.code)
                if error.code not in _RETRIED:
                    break
                continue
            except (OSError, http.client.HTTPException, ValueError, KeyError, IndexError, TypeError) as error:
                log.info("the text endpoint failed: %s", error)
                continue
            self._failures = 0
            return text
        self._failures += 1
        self.counts["failed"] += 1
        if self._failures == self.config.give_up_after:
            log.warning("the text endpoint failed %d times in a row: the rest is written by rules", self._failures)
        return None

    def _request(self, system: str, question: str) -> str:
        body = {
            "model": self.config.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
            "temperature": self.config.temperature,
        }
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(self.config.key_variable):
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self.config.address, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=self.config.timeout_s) as response:
            content = response.read(MAX_ANSWER_BYTES + 1)
        if len(content) > MAX_ANSWER_BYTES:
            raise ValueError("the answer is absurdly long")
        text = json.loads(content)["choices"][0]["message"]["content"]
        if not isinstance(text, str):
            raise ValueError("the answer holds no text")
        return text.strip()


def check(level: str, answer: str, texts: Texts, labels: dict[str, str]) -> str:
    """What is wrong with an answer, or "": its form, its language, and what contradicts the motion."""
    if level == "scenarios":
        lines = _lines(answer)
        if len(lines) != 3:
            return f"{len(lines)} scenarios, expected 3"
        if len(set(lines)) < 3 or not all(12 <= len(x) <= 240 for x in lines):
            return "scenarios that repeat or are of an impossible length"
    elif not 10 <= len(answer) <= 900:
        return f"{len(answer)} characters"
    letters = sum(c.isascii() and (c.isalpha() or c in " .,;'-") for c in answer)
    if letters < 0.85 * len(answer) or len(answer.split()) < 3:
        return "not English text"
    if _REFUSAL.search(answer):
        return "a refusal"
    said = set(re.findall(r"[a-z]+", answer.lower()))
    if level == "head_pose":
        for side in ("left", "right"):
            if side in said and side not in labels["poses"] and "side to side" not in answer.lower():
                return f"the head never goes {side}"
    if level in ("action", "emotion"):
        others = {w for e, ways in EMOTIONS.items() if e != texts.emotion_label for w in (e, *ways) if " " not in w}
        own = {texts.emotion_label, *EMOTIONS[texts.emotion_label]}
        if wrong := (said & (others - own)):
            return f"another emotion: {', '.join(sorted(wrong))}"
    return ""


def _lines(answer: str) -> list[str]:
    found = (re.sub(r"^\s*(?:[-*]|\d+[.)])\s*", "", line).strip() for line in answer.splitlines())
    return [line for line in found if line]


def _labels(clip: MotionClip, texts: Texts, speaking: bool) -> dict[str, str]:
    """What the questions tell of a clip."""
    units = [
        f"{e.label}{LETTERS[int(e.strength)]} ({UNITS[e.label].name}{', ' + e.side if e.side else ''}) "
        f"{e.start:.1f}-{e.end:.1f} s"
        for e in unit_events(clip.weights, clip.weights_valid, speaking)[:40]
    ]
    poses = [f"{e.label} {e.strength:.0f} deg {e.start:.1f}-{e.end:.1f} s"
             for e in [*pose_events(clip.head_rotvec), *swing_events(clip.head_rotvec)][:40]]  # fmt: skip
    degree = "slightly" if clip.intensity < 0.45 else "clearly" if clip.intensity < 0.8 else "very much so"
    return {
        "actions": ", then ".join(texts.actions),
        "emotion": texts.emotion_label,
        "degree": "neither more nor less" if texts.emotion_label == "neutral" else degree,
        "units": "; ".join(units) or "none, the face is still",
        "poses": "; ".join(poses) or "none, the head is straight and still",
    }
