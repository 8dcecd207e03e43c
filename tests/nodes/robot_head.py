"""A robot head that knows nothing of ROS: a DDS program of another vendor (Eclipse Cyclone) that follows the face.

Run as ``python robot_head.py DOMAIN NAMESPACE SECONDS``: prints one JSON line per expression and head pose received.
"""

import json
import sys
import time
from dataclasses import dataclass

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import Domain, DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.idl.types import float32, float64, int32, sequence, uint32, uint64
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

# Vendor 1.15 is eProsima: Cyclone cannot read how Fast DDS describes sequences; names of types decide instead.
LOCAL = """<CycloneDDS><Domain>
  <General>
    <Interfaces><NetworkInterface name="lo" multicast="true"/></Interfaces>
    <AllowMulticast>true</AllowMulticast>
  </General>
  <Discovery>
    <ParticipantIndex>auto</ParticipantIndex>
    <MaxAutoParticipantIndex>60</MaxAutoParticipantIndex>
    <Peers><Peer address="localhost"/></Peers>
  </Discovery>
  <Compatibility><IgnoreTypeInformation>1.15</IgnoreTypeInformation></Compatibility>
</Domain></CycloneDDS>"""


@dataclass
class Time(IdlStruct, typename="builtin_interfaces::msg::dds_::Time_"):
    sec: int32
    nanosec: uint32


@dataclass
class Header(IdlStruct, typename="std_msgs::msg::dds_::Header_"):
    stamp: Time
    frame_id: str


@dataclass
class Expression(IdlStruct, typename="media2face_msgs::msg::dds_::Expression_"):
    header: Header
    utterance: str
    frame: uint64
    revision: uint32
    names: sequence[str]
    weights: sequence[float32]


@dataclass
class Point(IdlStruct, typename="geometry_msgs::msg::dds_::Point_"):
    x: float64
    y: float64
    z: float64


@dataclass
class Quaternion(IdlStruct, typename="geometry_msgs::msg::dds_::Quaternion_"):
    x: float64
    y: float64
    z: float64
    w: float64


@dataclass
class Pose(IdlStruct, typename="geometry_msgs::msg::dds_::Pose_"):
    position: Point
    orientation: Quaternion


@dataclass
class PoseStamped(IdlStruct, typename="geometry_msgs::msg::dds_::PoseStamped_"):
    header: Header
    pose: Pose


def _ns(stamp: Time) -> int:
    return stamp.sec * 1_000_000_000 + stamp.nanosec


def main(number: int, namespace: str, seconds: float) -> None:
    """Listen and report."""
    domain = Domain(number, LOCAL)
    participant = DomainParticipant(number)
    quality = Qos(Policy.Reliability.Reliable(duration(seconds=1)), Policy.History.KeepLast(100))
    expression = Topic(participant, f"rt/{namespace}/expression", Expression, qos=quality)
    head_pose = Topic(participant, f"rt/{namespace}/head_pose", PoseStamped, qos=quality)
    face, head = DataReader(participant, expression, qos=quality), DataReader(participant, head_pose, qos=quality)
    print(json.dumps({"kind": "ready"}), flush=True)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        now = time.time_ns()
        for e in (sample for sample in face.take(100) if hasattr(sample, "names")):  # a goodbye has no content
            weights = dict(zip(e.names, e.weights, strict=True))
            line = {"kind": "expression", "at": now, "stamp": _ns(e.header.stamp), "frame": e.frame, "weights": weights}
            print(json.dumps(line | {"frame_id": e.header.frame_id, "utterance": e.utterance}), flush=True)
        for p in (sample for sample in head.take(100) if hasattr(sample, "pose")):
            q, t = p.pose.orientation, p.pose.position
            line = {"kind": "pose", "at": now, "stamp": _ns(p.header.stamp), "frame_id": p.header.frame_id}
            print(json.dumps(line | {"rotation": [q.x, q.y, q.z, q.w], "position": [t.x, t.y, t.z]}), flush=True)
        time.sleep(0.003)
    del face, head, participant, domain


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
