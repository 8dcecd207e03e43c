"""The robot as URDF, made from its map, so that names, limits and directions are the same."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from .kinematics import models
from .robot_map import RobotMap
from .shapes import COLOURS, Shape

ROOT = "base_link"
EFFORT = 2.0
"""Nm; URDF asks for a number."""


def urdf(robot: RobotMap) -> str:
    """The URDF, ready for ``robot_state_publisher``: a link ``<joint>_link`` for each joint."""
    root = ET.Element("robot", name=robot.robot)
    for name, colour in COLOURS.items():
        ET.SubElement(ET.SubElement(root, "material", name=name), "color", rgba=_numbers((*colour, 1.0)))
    _link(root, ROOT, robot.body)
    parts = models(robot)
    for joint in robot.joints:
        model = parts[joint.name]
        _link(root, f"{joint.name}_link", model.shapes)
        element = ET.SubElement(root, "joint", name=joint.name, type="prismatic" if model.slider else "revolute")
        ET.SubElement(element, "parent", link=f"{model.parent}_link" if model.parent else ROOT)
        ET.SubElement(element, "child", link=f"{joint.name}_link")
        ET.SubElement(element, "origin", xyz=_numbers(model.at), rpy="0 0 0")
        ET.SubElement(element, "axis", xyz=_numbers(model.axis))
        low, high = joint.range
        ET.SubElement(
            element, "limit", lower=f"{low:g}", upper=f"{high:g}", velocity=f"{joint.velocity:g}", effort=f"{EFFORT:g}"
        )
    ET.indent(root)
    return '<?xml version="1.0"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _link(root: ET.Element, name: str, shapes: tuple[Shape, ...]) -> None:
    link = ET.SubElement(root, "link", name=name)
    for shape in shapes:
        visual = ET.SubElement(link, "visual")
        ET.SubElement(visual, "origin", xyz=_numbers(shape.at), rpy=_numbers(shape.rpy))
        geometry = ET.SubElement(visual, "geometry")
        if shape.kind == "box":
            ET.SubElement(geometry, "box", size=_numbers(shape.size))
        elif shape.kind == "sphere":
            ET.SubElement(geometry, "sphere", radius=f"{shape.size[0]:g}")
        else:
            ET.SubElement(geometry, "cylinder", radius=f"{shape.size[0]:g}", length=f"{shape.size[1]:g}")
        ET.SubElement(visual, "material", name=shape.colour)


def _numbers(values) -> str:
    return " ".join(f"{v:.6g}" for v in values)
