"""The launch file under the real launch_ros, where there is one (it is not on PyPI)."""

from __future__ import annotations

from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[2] / "launch" / "avatar.launch.py"


@pytest.fixture
def description():
    pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS 2 installation, not from PyPI")
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    from launch import LaunchContext

    context = LaunchContext()
    found = PythonLaunchDescriptionSource(str(FILE)).get_launch_description(context)
    for argument in found.get_launch_arguments():
        argument.visit(context)
    return found, context


def test_arguments_are_those_of_the_graph(description):
    from media2face.nodes.graph import SETTINGS

    found, _ = description
    arguments = {a.name: a for a in found.get_launch_arguments()}
    assert set(arguments) == {"namespace"} | {s.name for s in SETTINGS}
    assert all(a.description for a in arguments.values())


def test_nodes_and_parameters_are_those_of_the_graph(description):
    from launch_ros.actions import Node
    from launch_ros.utilities import evaluate_parameters

    from media2face.nodes.graph import GRAPH, parameters

    found, context = description
    nodes = [entity for entity in found.entities if isinstance(entity, Node)]
    wanted = parameters({})
    assert len(nodes) == len(GRAPH)
    for node, spec in zip(nodes, GRAPH, strict=True):
        assert node._Node__node_executable == spec.name
        (given,) = evaluate_parameters(context, node._Node__parameters)
        assert given == wanted[spec.name]
        assert {k: type(v) for k, v in given.items()} == {k: type(v) for k, v in wanted[spec.name].items()}
