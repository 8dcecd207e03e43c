"""The description of the graph is what runs: topics, services, parameters, and what the launch file makes of it."""

from __future__ import annotations

import ast
import py_compile

import pytest
from harness import ROOT

from media2face.nodes.graph import GRAPH, NAMES, SETTINGS, parameters

OWN = {"parameter_events", "rosout", "transition_event", "tf"}


def test_nodes_have_the_topics_that_the_graph_names(weights, speech, avatar, listener):
    graph = avatar(audio=str(speech), wait=600.0)
    assert not graph.failures
    for spec in (s for s in GRAPH if not s.switch):
        node = graph.nodes[spec.name]
        given = node.get_publisher_names_and_types_by_node(spec.name, "/avatar")
        taken = node.get_subscriber_names_and_types_by_node(spec.name, "/avatar")
        assert _relative(given) == {t: [k] for t, k in spec.gives.items()} | _animate(spec, given)
        assert _relative(taken) == {t: [k] for t, k in spec.takes.items()}
        served = node.get_service_names_and_types_by_node(spec.name, "/avatar")
        services = {n.removeprefix("/avatar/"): k for n, k in served}
        for name, kind in spec.serves.items():
            if "/action/" in kind:
                assert f"{name}/_action/send_goal" in services
            else:
                assert services[name] == [kind]


def _relative(pairs) -> dict:
    found = {name.removeprefix("/avatar/"): kinds for name, kinds in pairs}
    return {n: k for n, k in found.items() if not any(part in OWN for part in n.strip("/").split("/"))}


def _animate(spec, given) -> dict:
    return (
        {n: k for n, k in _relative(given).items() if n.startswith("animate/_action")}
        if "animate" in spec.serves
        else {}
    )


def test_every_topic_that_is_taken_is_given():
    others = {"style_text", "image", "image/compressed", "/robot_face/look_at"}
    given = {t for spec in GRAPH for t in spec.gives} | others
    assert {t for spec in GRAPH for t in spec.takes} <= given


@pytest.mark.parametrize("spec", GRAPH, ids=NAMES)
def test_parameters_are_described_and_ranged(spec):
    kind = spec.load()
    assert kind.NAME == spec.name
    for param in kind.PARAMETERS:
        assert len(param.text) > 10
        if isinstance(param.default, (int, float)) and not isinstance(param.default, bool):
            assert param.low is not None and param.low <= param.default <= param.high
    known = {p.name: p for p in kind.PARAMETERS} | {"autostart": None}
    for name, value in parameters({})[spec.name].items():
        assert name in known
        if known[name] is not None:
            assert type(value) is type(known[name].default)


def test_settings_that_do_not_exist_are_refused():
    with pytest.raises(KeyError, match="no such setting"):
        parameters({"volume": 3})


def test_launch_file_is_plain_and_takes_everything_from_the_graph(tmp_path):
    path = ROOT / "launch" / "avatar.launch.py"
    py_compile.compile(str(path), cfile=str(tmp_path / "x.pyc"), doraise=True)
    tree = ast.parse(path.read_text())
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert {"GRAPH", "SETTINGS", "parameters"} <= names
    strings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    assert not strings & (set(NAMES) | {s.name for s in SETTINGS}), "nodes and settings belong into nodes/graph.py"


def test_every_node_has_an_executable():
    for name in (*NAMES, "media2face"):
        program = ROOT / "resource" / "bin" / name
        assert program.stat().st_mode & 0o111, f"{program} is not executable"
        assert program.read_text().startswith("#!/usr/bin/env python3\n")
