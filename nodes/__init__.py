"""One file per ROS 2 node: topics, parameters, lifecycle; no mathematics."""
