"""The face for programs that are no ROS nodes, and speech from them."""
