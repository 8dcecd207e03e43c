"""Quality of service of every topic, in one place.

Everything inside the graph is reliable, since a lost chunk is a hole in the speech. What describes a state (style,
playback clock) is latched, so that a node that joins late, or again, has it at once. Depths cover a sentence that a
speech synthesiser delivers in one go.
"""

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(depth: int, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


AUDIO = _profile(1024)
FEATURES = _profile(1024)
MOTION = _profile(512)
FRAMES = _profile(10)
PROMPT = _profile(256)
EVENT = _profile(10)
STATE = _profile(1, latched=True)
STYLES = _profile(256, latched=True)
"""Of ``style_embedding``: all prompts of a timeline come at once."""
DIAGNOSTICS = _profile(10)
CAMERA = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT,
    durability=DurabilityPolicy.VOLATILE,
)  # fmt: skip
"""Pictures: only the newest counts, and cameras that offer best effort are understood too."""
TF = _profile(100)
TF_STATIC = _profile(100, latched=True)
