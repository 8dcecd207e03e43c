import numpy as np

from media2face.runtime.rotation import (
    matrices_from_quaternions,
    quaternions_from_rotvecs,
    rotvec_from_matrix,
    rotvec_from_quaternion,
)


def test_yaw_turns_x_to_y():
    q = quaternions_from_rotvecs(np.array([[0, 0, np.pi / 2]]))
    np.testing.assert_allclose(matrices_from_quaternions(q)[0] @ [1, 0, 0], [0, 1, 0], atol=1e-6)


def test_identity_is_xyzw_0001():
    np.testing.assert_allclose(quaternions_from_rotvecs(np.zeros((1, 3))), [[0, 0, 0, 1]])


def test_tiny_angles_are_exact():
    q = quaternions_from_rotvecs(np.array([[2e-7, 0, 0], [1e-3, 0, 0]]))
    np.testing.assert_allclose(q[:, 0], [1e-7, np.sin(5e-4)], rtol=1e-5)


def test_consecutive_quaternions_keep_sign_through_a_full_turn():
    angle = np.linspace(0, 2 * np.pi, 60)
    q = quaternions_from_rotvecs(np.stack([0 * angle, 0 * angle, angle], axis=1))
    assert (np.sum(q[1:] * q[:-1], axis=1) > 0.9).all()
    following = quaternions_from_rotvecs(np.array([[0, 0, 0.1]]), previous=q[-1])
    assert following[0] @ q[-1] > 0.9


def test_rotation_vectors_come_back():
    rng = np.random.default_rng(2)
    vectors = [v for v in rng.normal(0, 1, (40, 3)) if np.linalg.norm(v) < np.pi]
    for vector in [*vectors, np.zeros(3), np.array([1e-9, 0, 0]), np.array([0, 0, 3.1])]:
        quaternion = quaternions_from_rotvecs(vector[None])[0]
        np.testing.assert_allclose(rotvec_from_quaternion(quaternion), vector, atol=1e-4)
    axis = np.array([0.6, -0.64, 0.48])
    half = rotvec_from_matrix(2 * np.outer(axis, axis) - np.eye(3))
    np.testing.assert_allclose(np.abs(half @ axis), np.pi, atol=1e-6)
