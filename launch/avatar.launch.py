"""The avatar, one process a node::

    ros2 launch media2face avatar.launch.py audio:=speech.wav style:='a cheerful host'

Nodes, arguments and parameters come from ``media2face.nodes.graph``, as they do for ``media2face avatar``.
"""

from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription
from media2face.nodes.graph import GRAPH, NAMESPACE, SETTINGS, parameters


def generate_launch_description() -> LaunchDescription:
    """Every setting becomes an argument; a node that dies is started again."""
    arguments = [DeclareLaunchArgument("namespace", default_value=NAMESPACE, description="namespace of the avatar")]
    values = {}
    for setting in SETTINGS:
        default = str(setting.default)
        arguments.append(DeclareLaunchArgument(setting.name, default_value=default, description=setting.help))
        values[setting.name] = ParameterValue(LaunchConfiguration(setting.name), value_type=type(setting.default))
    node_parameters = parameters(values)
    nodes = [
        LifecycleNode(
            package="media2face",
            executable=spec.name,
            name=spec.name,
            namespace=LaunchConfiguration("namespace"),
            parameters=[node_parameters[spec.name]],
            output="screen",
            respawn=True,
            respawn_delay=1.0,
            condition=IfCondition(LaunchConfiguration(spec.switch)) if spec.switch else None,
        )
        for spec in GRAPH
    ]
    return LaunchDescription(arguments + nodes)
