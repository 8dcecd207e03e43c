"""The graph, once: which nodes there are, what they take and give, and which setting goes to which node's parameter.

The launch file (one process a node) and ``media2face avatar`` (all in one process) are both made from this. Nothing
here imports ROS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module

from media2face.runtime.motion import TUNED, SamplerConfig, ranged

NAMESPACE = "avatar"
SAMPLING = SamplerConfig()


@dataclass(frozen=True)
class NodeSpec:
    """One node; ``takes`` and ``gives`` map relative topics to ROS types, ``serves`` does services and actions.

    ``switch`` names the setting that says whether the node runs; '' for the nodes that no avatar is without.
    """

    name: str
    class_name: str
    takes: Mapping[str, str]
    gives: Mapping[str, str]
    serves: Mapping[str, str]
    switch: str = ""

    @property
    def module(self) -> str:
        """Module of the node's class; the executable carries the node's name."""
        return f"media2face.nodes.{self.name}"

    def load(self) -> type:
        """The node's class."""
        return getattr(import_module(self.module), self.class_name)


@dataclass(frozen=True)
class Setting:
    """One argument of the launch file and of ``media2face avatar``: parameter ``parameter`` of ``nodes``.

    A setting without nodes is a switch: it says whether the optional nodes that name it run.
    """

    name: str
    default: str | float | bool
    help: str
    nodes: tuple[str, ...]
    parameter: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameter", self.parameter or self.name)


def _msg(name: str) -> str:
    return f"media2face_msgs/msg/{name}"


DIAGNOSTICS = {"diagnostics": "diagnostic_msgs/msg/DiagnosticArray"}
INTERRUPTED = {"interrupted": "std_msgs/msg/Header"}
AUDIO = {"audio": _msg("AudioChunk")}
CLOCK = {"playback_clock": _msg("PlaybackClock")}
EXPRESSION = {"expression": _msg("Expression")}
LOOK_AT = {"look_at": "geometry_msgs/msg/PointStamped"}

GRAPH: tuple[NodeSpec, ...] = (
    NodeSpec(
        "audio_capture", "AudioCapture",
        takes=INTERRUPTED | EXPRESSION | CLOCK,
        gives=AUDIO | {"style_prompt": _msg("StylePrompt"), "keyframe": _msg("Keyframe")} | DIAGNOSTICS,
        serves={"animate": "media2face_msgs/action/Animate"},
    ),
    NodeSpec(
        "audio_playback", "AudioPlayback",
        takes=AUDIO | INTERRUPTED,
        gives=CLOCK | DIAGNOSTICS,
        serves={},
    ),
    NodeSpec(
        "speech_encoder", "SpeechEncoderNode",
        takes=AUDIO | INTERRUPTED,
        gives={"speech_features": _msg("SpeechFeatures")} | DIAGNOSTICS,
        serves={},
    ),
    NodeSpec(
        "style_encoder", "StyleEncoderNode",
        takes={"style_prompt": _msg("StylePrompt"), "style_text": "std_msgs/msg/String"},
        gives={"style_embedding": _msg("StyleEmbedding")} | DIAGNOSTICS,
        serves={"set_style": "media2face_msgs/srv/SetStyle"},
    ),
    NodeSpec(
        "motion_sampler", "MotionSamplerNode",
        takes={
            "speech_features": _msg("SpeechFeatures"), "style_embedding": _msg("StyleEmbedding"),
            "keyframe": _msg("Keyframe"),
        } | CLOCK,
        gives={"head_motion": _msg("HeadMotion")} | INTERRUPTED | DIAGNOSTICS,
        serves={"add_keyframe": "media2face_msgs/srv/AddKeyframe", "interrupt": "media2face_msgs/srv/Interrupt"},
    ),
    NodeSpec(
        "face_decoder", "FaceDecoderNode",
        takes={"head_motion": _msg("HeadMotion")} | CLOCK | LOOK_AT,
        gives=EXPRESSION | {"head_pose": "geometry_msgs/msg/PoseStamped"} | DIAGNOSTICS,
        serves={},
    ),
    NodeSpec(
        "bridges", "Bridges",
        takes=EXPRESSION | {"head_pose": "geometry_msgs/msg/PoseStamped"},
        gives=DIAGNOSTICS,
        serves={},
        switch="bridges",
    ),
    NodeSpec(
        "robot_face", "RobotFace",
        takes=EXPRESSION | {
            "style_embedding": _msg("StyleEmbedding"), "/robot_face/look_at": "geometry_msgs/msg/PointStamped",
        },
        gives=LOOK_AT | {"visemes": _msg("Expression"), "style_prompt": _msg("StylePrompt")} | DIAGNOSTICS,
        serves={},
        switch="robot_face",
    ),
    NodeSpec(
        "speech_server", "SpeechServerNode",
        takes={},
        gives=AUDIO | {"style_prompt": _msg("StylePrompt")} | DIAGNOSTICS,
        serves={},
        switch="speech_server",
    ),
    NodeSpec(
        "avatar_view", "AvatarViewNode",
        takes=EXPRESSION | AUDIO | CLOCK | INTERRUPTED | {
            "head_pose": "geometry_msgs/msg/PoseStamped", "style_embedding": _msg("StyleEmbedding"),
        },
        gives=DIAGNOSTICS,
        serves={},
        switch="avatar_view",
    ),
    NodeSpec(
        "face_tracker", "FaceTrackerNode",
        takes={"image": "sensor_msgs/msg/Image", "image/compressed": "sensor_msgs/msg/CompressedImage"},
        gives={
            "tracked_expression": _msg("Expression"), "tracked_head_pose": "geometry_msgs/msg/PoseStamped",
            "keyframe": _msg("Keyframe"),
        } | DIAGNOSTICS,
        serves={"take_keyframe": "std_srvs/srv/Trigger"},
        switch="face_tracker",
    ),
    NodeSpec(
        "animatronics", "Animatronics",
        takes=EXPRESSION | {"head_pose": "geometry_msgs/msg/PoseStamped"},
        gives={"joint_states": "sensor_msgs/msg/JointState"} | DIAGNOSTICS,
        serves={"soft_stop": "std_srvs/srv/SetBool"},
        switch="animatronics",
    ),
)  # fmt: skip

NAMES = tuple(spec.name for spec in GRAPH)
SPEAKING_NODES = ("speech_encoder", "style_encoder", "motion_sampler", "face_decoder")
MODEL_NODES = (*SPEAKING_NODES, "face_tracker")

SETTINGS: tuple[Setting, ...] = (
    Setting("audio", "demo", "speech: a file, 'demo', 'mic', or '' for what others publish on the topic audio",
            ("audio_capture",)),
    Setting("loop", False, "speak the file again and again", ("audio_capture",)),
    Setting("pace", 1.0, "how fast the file is delivered; 1 is real time, 0 as fast as possible", ("audio_capture",)),
    Setting("style", "", "how to speak, in words; '' is neutral", ("style_encoder",)),
    Setting("strength", 1.0, "strength of the style, 0 to 2", ("style_encoder",)),
    Setting("presentation_delay", 0.28, "from capture to presentation of sound and face, s",
            ("audio_playback", "motion_sampler", "face_decoder")),
    Setting("device", "auto", "loudspeaker: 'auto', 'none' (silent, by the clock), or a device's name or number",
            ("audio_playback",)),
    Setting("seed", 0, "another seed, another motion that fits", ("motion_sampler",)),
    Setting("model", "student", "weights that sample: student (one step) or denoiser (four, slower)",
            ("motion_sampler",)),
    Setting("idle", True, "between utterances the face listens: it breathes, blinks and looks about",
            ("motion_sampler",)),
    *(Setting(name, getattr(SAMPLING, name), ranged(name), ("motion_sampler",)) for name in TUNED),
    Setting("provider", "auto", "what runs the networks: auto, cpu, cuda or tensorrt", MODEL_NODES),
    Setting("weights", "", "folder of the weights; '' for those that ship", MODEL_NODES),
    Setting("precision", "fp32", "numbers the networks compute with: fp32, fp16 (GPU) or int8 (CPU), see "
            "docs/encoders.md", SPEAKING_NODES),
    Setting("livelink", "", "bridges: Live Link Face (Unreal Engine) to HOST or HOST:PORT", ("bridges",)),
    Setting("vmc", "", "bridges: VMC (VRM avatars) to HOST or HOST:PORT", ("bridges",)),
    Setting("zmq", "", "bridges: ZeroMQ endpoint for frames, such as tcp://127.0.0.1:5570", ("bridges",)),
    Setting("zmq_in", "tcp://127.0.0.1:5571", "speech server: ZeroMQ endpoint for speech and styles",
            ("speech_server",)),
    Setting("zmq_keys", "", "folder of CurveZMQ keys, needed for endpoints that other machines can reach",
            ("bridges", "speech_server")),
    Setting("page_port", 8060, "port of the avatar page; the next free one if it is taken, 0 for any",
            ("avatar_view",)),
    Setting("page_host", "127.0.0.1", "address of the avatar page; 0.0.0.0 lets other machines see and steer",
            ("avatar_view",)),
    Setting("page_sound", "auto", "sound in the page: 'auto' (unless the loudspeaker plays), 'always' or 'never'",
            ("avatar_view",)),
    Setting("robot_map", "toy", "animatronics: the robot, a YAML file or an example (toy, full_head)",
            ("animatronics",)),
    Setting("robot_output", "joint_states", "animatronics: joint_states, or joint_trajectory for ros2_control",
            ("animatronics",), "output"),
    Setting("field_of_view", 60.0, "face tracker: of the camera across the picture, degrees", ("face_tracker",)),
    Setting("keyframe_every", 0.0, "face tracker: send the tracked face as a keyframe so often, s; 0: on request",
            ("face_tracker",)),
    # switches: which of the optional nodes run
    Setting("avatar_view", True, "serve the avatar page", ()),
    Setting("bridges", False, "send the face to Live Link Face, VMC or ZeroMQ", ()),
    Setting("robot_face", False, "robot-face conventions: look_at, hri_msgs, REP-155 frames, visemes", ()),
    Setting("speech_server", False, "take speech and styles over ZeroMQ", ()),
    Setting("animatronics", False, "drive the servos of an animatronic head", ()),
    Setting("face_tracker", False, "track a face in a camera's pictures (topic image)", ()),
    Setting("autostart", True, "nodes configure and activate themselves", NAMES),
)  # fmt: skip


def parameters(values: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Parameters of each node, {node: {parameter: value}}, from values of the settings (defaults where absent).

    The values may be anything that stands for a value (a launch substitution).

    Raises:
        KeyError: if a value belongs to no setting.
    """
    unknown = set(values) - {s.name for s in SETTINGS}
    if unknown:
        raise KeyError(f"no such setting: {sorted(unknown)}; known: {[s.name for s in SETTINGS]}")
    result: dict[str, dict[str, object]] = {name: {} for name in NAMES}
    for setting in SETTINGS:
        for node in setting.nodes:
            result[node][setting.parameter] = values.get(setting.name, setting.default)
    return result


def running(values: Mapping[str, object]) -> tuple[NodeSpec, ...]:
    """The nodes that run with these settings (defaults where absent)."""
    defaults = {s.name: s.default for s in SETTINGS}
    return tuple(spec for spec in GRAPH if not spec.switch or values.get(spec.switch, defaults[spec.switch]))
