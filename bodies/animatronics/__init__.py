"""Animatronic heads: the stream of a face drives servos, within every limit of the joints.

A robot is described by a map (:mod:`.robot_map`, read from YAML by :mod:`.map_file`). Weights and head poses become
joint targets (:mod:`.mixing`), targets become a smooth reference in time (:mod:`.reference`), and each joint follows
its reference within range, velocity, acceleration and jerk (:mod:`.follower`). :class:`~.player.RobotPlayer` does it
all; :mod:`.dry_run` does it without a robot.
"""
