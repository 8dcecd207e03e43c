"""One joint that follows its reference and never leaves its range nor exceeds its velocity, acceleration or jerk.

Each step tries, in this order: to meet the reference a few periods ahead on a quintic, moving as it moves; to meet it
as soon as the caps allow; to stop at it; to brake. The latter three are planned by Ruckig (PyPI ``ruckig``;
L. Berscheid and T. Kröger, "Jerk-limited Real-time Trajectory Generation with Arbitrary Target States", RSS 2021). A
step is only taken if from where it ends there is a stop that stays within the range (and, but for the last two, hardly
runs past what lies ahead). So there always is a way out: by induction, from rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ruckig import ControlInterface, InputParameter, Result, Ruckig, RuckigError, Trajectory

MARGIN = 0.998
"""Share of the caps that is used: room for rounding."""
FORESEEN = (2, 3, 4, 6, 8)
"""Periods ahead at which the reference is known to the follower."""
TOLERANCE = 0.001
"""How far a joint may run past the furthest point ahead of it, as a share of its range: the overshoot there can be."""
State = tuple[float, float, float]
"""Position, velocity, acceleration."""


class Follower:
    """State of one joint.

    Args:
        low, high: range, rad.
        velocity, acceleration, jerk: caps.
        period: seconds of a step.
        start: where it is, at rest.

    Attributes:
        position, velocity, acceleration: where it is.
        saturated: whether the caps kept it from meeting its reference in the last step.
    """

    def __init__(
        self, low: float, high: float, velocity: float, acceleration: float, jerk: float, period: float, start: float
    ) -> None:
        self._inset = 1e-6 * (high - low)
        self.low, self.high, self.period = low, high, period
        self.position = min(max(start, low + self._inset), high - self._inset)
        self.velocity = self.acceleration = 0.0
        self.saturated = False
        self._tolerance = TOLERANCE * (high - low)
        caps = [MARGIN * velocity], [MARGIN * acceleration], [MARGIN * jerk]
        self._caps = tuple(cap[0] for cap in caps)
        self._solver = Ruckig(1)
        self._meet, self._halt, self._brake = InputParameter(1), InputParameter(1), InputParameter(1)
        for given in (self._meet, self._halt, self._brake):
            given.max_velocity, given.max_acceleration, given.max_jerk = caps
        self._brake.control_interface = ControlInterface.Velocity
        self._meet.minimum_duration = FORESEEN[0] * period
        self._plan, self._stop, self._spare = Trajectory(1), Trajectory(1), Trajectory(1)
        self._stop_age = 0.0
        self._reach = self.position, self.position  # what a stop from here passes through
        self._solve_stop(self.position, 0.0, 0.0)
        self._stop, self._spare = self._spare, self._stop

    def step(self, ahead: Sequence[State]) -> None:
        """Go on by one period.

        Args:
            ahead: position, velocity and acceleration of the reference ``FORESEEN`` periods after the present state.
        """
        ahead = [state for state in ahead if all(map(math.isfinite, state))] or [(self.position, 0.0, 0.0)]
        ahead = [self._within(*state) for state in ahead]
        places = [state[0] for state in ahead]
        least = max(min(min(places) - self._tolerance, self._reach[0]), self.low)
        most = min(max(max(places) + self._tolerance, self._reach[1]), self.high)
        for periods, goal in zip(FORESEEN, ahead, strict=False):
            state = self._smooth(goal, periods)
            if state and self._take(state, least, most):
                self.saturated = periods > FORESEEN[0]
                return
        self.saturated = True
        place, speed, push = ahead[0]
        if self._plan_to(self._meet, place, speed, push) and self._take(self._next(), least, most):
            return
        if self._plan_to(self._halt, place, 0.0, 0.0) and self._take(self._next(), self.low, self.high):
            return
        self._stop_age += self.period  # the way out that was kept
        self.position, self.velocity, self.acceleration = self._at(self._stop, self._stop_age)

    def stopping(self) -> list[State]:
        """Position, velocity and acceleration at each period from the next on, if it were to stop now; ends at rest."""
        points, time = [], self._stop_age
        while True:
            time += self.period
            points.append(self._at(self._stop, time))
            if time >= self._stop.duration:
                return points

    def settle(self, at_stop: bool) -> None:
        """Be at rest: where it is, or with ``at_stop`` where its way to a stop ends."""
        place = self.stopping()[-1][0] if at_stop else self.position
        self.position = min(max(place, self.low + self._inset), self.high - self._inset)
        self.velocity = self.acceleration = self._stop_age = 0.0
        self._reach = self.position, self.position
        self._solve_stop(self.position, 0.0, 0.0)
        self._stop, self._spare = self._spare, self._stop

    def _within(self, place: float, speed: float, push: float) -> State:
        """The nearest state to a reference that the joint can be in."""
        goal = min(max(place, self.low + self._inset), self.high - self._inset)
        limit, most, jerk = self._caps
        if goal != place:
            return goal, 0.0, 0.0
        if abs(speed) > limit or abs(push) > most or abs(speed) + push * push / (2 * jerk) > limit:
            return goal, max(-limit, min(limit, speed)), 0.0
        return goal, speed, push

    def _smooth(self, goal: State, periods: int) -> State | None:
        """The state after one period on the quintic that ends in ``goal``; None if it might break a cap or the range.

        Its Bezier points bound the quintic and its derivatives.
        """
        span = periods * self.period
        (p, v, a), (q, w, b) = (self.position, self.velocity, self.acceleration), goal
        points = [
            p, p + v * span / 5, p + v * span / 2.5 + a * span**2 / 20,
            q - w * span / 2.5 + b * span**2 / 20, q - w * span / 5, q,
        ]  # fmt: skip
        if min(points) < self.low or max(points) > self.high:
            return None
        share, state = 1.0 / periods, []
        for order, cap in zip((5, 4, 3, 0), (*self._caps, 0.0), strict=True):
            if order > 2:
                state.append(_bezier(points, share))
                points = [order / span * (d - c) for c, d in zip(points, points[1:], strict=False)]
                if max(map(abs, points)) > cap:
                    return None
        return tuple(state)

    def _plan_to(self, given: InputParameter, place: float, speed: float, push: float) -> bool:
        """Plan the fastest way to a state, within the range."""
        given.current_position, given.current_velocity = [self.position], [self.velocity]
        given.current_acceleration = [self.acceleration]
        given.target_position, given.target_velocity, given.target_acceleration = [place], [speed], [push]
        if not self._solve(given, self._plan):
            return False
        extrema = self._plan.position_extrema[0]
        return self.low <= extrema.min and extrema.max <= self.high

    def _next(self) -> State:
        return self._at(self._plan, self.period)

    def _take(self, state: State, least: float, most: float) -> bool:
        """Go to a state, if there is a stop within [least, most] from it."""
        position, velocity, acceleration = state
        limit, push, _ = self._caps  # a state that rounding has put past a cap would be no state to plan from
        state = position, max(-limit, min(limit, velocity)), max(-push, min(push, acceleration))
        if not self._solve_stop(*state):
            return False
        lowest, highest = _extremes(self._spare)
        if lowest < least or highest > most:
            return False
        self.position, self.velocity, self.acceleration = state
        self._stop, self._spare, self._stop_age = self._spare, self._stop, 0.0
        self._reach = lowest, highest
        return True

    def _solve_stop(self, position: float, velocity: float, acceleration: float) -> bool:
        given = self._brake
        given.current_position, given.current_velocity = [position], [velocity]
        given.current_acceleration = [acceleration]
        given.target_velocity, given.target_acceleration = [0.0], [0.0]
        return self._solve(given, self._spare) and self._spare.profiles[0][0].brake.duration == 0.0

    def _solve(self, given: InputParameter, plan: Trajectory) -> bool:
        try:
            return self._solver.calculate(given, plan) in (Result.Working, Result.Finished)
        except RuckigError:  # no plan, which the caller has an answer to
            return False

    @staticmethod
    def _at(plan: Trajectory, time: float) -> State:
        position, velocity, acceleration = plan.at_time(time)
        return position[0], velocity[0], acceleration[0]


def _bezier(points: list[float], share: float) -> float:
    while len(points) > 1:
        points = [c + share * (d - c) for c, d in zip(points, points[1:], strict=False)]
    return points[0]


def _extremes(plan: Trajectory) -> tuple[float, float]:
    """Lowest and highest position of a plan made by velocity (Ruckig's own extrema are of plans made by position)."""
    profile = plan.profiles[0][0]
    points = list(profile.p)
    for time, jerk, push, speed, start in zip(profile.t, profile.j, profile.a, profile.v, profile.p, strict=False):
        if time <= 0.0:
            continue
        if abs(jerk) < 1e-9:
            turns = [-speed / push] if push else []
        else:
            inside = push * push - 2.0 * jerk * speed
            root = math.sqrt(inside) if inside > 0.0 else 0.0
            turns = [(-push + root) / jerk, (-push - root) / jerk] if inside >= 0.0 else []
        points += [start + t * (speed + t * (push / 2.0 + t * jerk / 6.0)) for t in turns if 0.0 < t < time]
    return min(points), max(points)
