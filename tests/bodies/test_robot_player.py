"""The player: on time, at rest when nothing comes, softly stopped, and what the dry run makes of a performance."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from media2face.bodies.animatronics import plots
from media2face.bodies.animatronics.calibration import Calibration, edited
from media2face.bodies.animatronics.dry_run import dry_run
from media2face.bodies.animatronics.map_file import examples, load_map, parse_map
from media2face.bodies.animatronics.player import RobotPlayer
from media2face.bodies.animatronics.robot_map import Joint, RobotMap
from media2face.bodies.animatronics.view import write_film
from media2face.runtime.arkit import ARKIT_INDEX, ARKIT_NAMES
from media2face.runtime.errors import ConfigError, InputError
from media2face.runtime.offline import Performance

NS = 1_000_000_000
T0 = 1_000 * NS
STEP = NS // 50
UPRIGHT = np.array([0.0, 0.0, 0.0, 1.0])


def robot(latency_ms: float = 0.0, **more) -> RobotMap:
    caps = dict(velocity=20.0, acceleration=800.0, jerk=60_000.0)
    return RobotMap("probe", (
        Joint("jaw", 0, {"jawOpen": 0.5}, (0.0, 0.6), 0.05, **caps, latency_ms=latency_ms, **more),
        Joint("yaw", 1, {"head_yaw": 1.0}, (-1.0, 1.0), 0.0, **caps, direction=-1),
    ))  # fmt: skip


def weights(jaw: float) -> np.ndarray:
    w = np.zeros(52, np.float32)
    w[ARKIT_INDEX["jawOpen"]] = jaw
    return w


def play(player: RobotPlayer, jaw, seconds: float, start: int = T0, until: float = 1e9, ahead: float = 0.09):
    """Feed jaw(t) at 30 fps and step at 50 Hz; commands and their times, s."""
    commands, times, sent = [], [], 0
    for k in range(round(seconds * 50)):
        now = start + k * STEP
        while sent / 30 < until and start + sent * NS // 30 - round(ahead * NS) <= now:
            player.face(start + sent * NS // 30, ARKIT_NAMES, weights(jaw(sent / 30)), now, "u")
            sent += 1
        commands.append(player.step(now))
        times.append((now - start) / NS)
    return commands, np.array(times)


def wave(t: float) -> float:
    return 0.5 - 0.4 * np.cos(2 * np.pi * 1.5 * t)


def delay(commands, times, joint: int = 0) -> float:
    """Delay of the commands behind 0.05 + 0.5 wave(t), s."""
    x = np.array([c.position[joint] for c in commands])
    kept = (times > 1.0) & (times < times[-1] - 0.3)
    shifts = np.arange(-0.15, 0.15, 0.001)
    errors = [np.mean((x[kept] - (0.05 + 0.5 * wave(times[kept] - s))) ** 2) for s in shifts]
    return shifts[int(np.argmin(errors))]


def test_joints_are_where_the_face_is_at_its_moment():
    commands, times = play(RobotPlayer(robot()), wave, 4.0)
    x = np.array([c.position[0] for c in commands])
    kept = times > 1.0
    assert abs(delay(commands, times)) <= 0.003
    assert np.sqrt(np.mean((x[kept] - 0.05 - 0.5 * wave(times[kept])) ** 2)) < 0.006


@pytest.mark.parametrize("latency", [20.0, 40.0])
def test_latency_is_looked_ahead_for(latency):
    commands, times = play(RobotPlayer(robot(latency)), wave, 4.0)
    assert delay(commands, times) == pytest.approx(-latency / 1000, abs=0.006)


def test_a_stream_that_ends_mid_word_goes_to_rest_gently_and_comes_back():
    player = RobotPlayer(robot())
    commands, times = play(player, lambda t: 0.8, 3.0, until=1.0)
    x = np.array([c.position[0] for c in commands])
    assert x[50] == pytest.approx(0.45, abs=0.01)
    assert x[times > 2.6] == pytest.approx(0.05, abs=1e-3)
    speed = np.abs(np.diff(x[times > 1.2])) * 50
    assert 0.3 < speed.max() < 2.0  # eased over 0.8 s, though the joint could do 20 rad/s
    assert player.stale
    commands, _ = play(player, lambda t: 0.8, 1.0, start=T0 + 4 * NS)
    assert commands[-1].position[0] == pytest.approx(0.45, abs=0.01) and not player.stale


def test_a_soft_stop_goes_to_rest_and_holds():
    player = RobotPlayer(robot())
    play(player, wave, 1.0)
    player.stopped = True
    commands, times = play(player, wave, 3.0, start=T0 + NS)
    x = np.array([c.position[0] for c in commands])
    assert x[times > 1.2] == pytest.approx(0.05, abs=1e-3)
    player.stopped = False
    commands, _ = play(player, wave, 1.0, start=T0 + 4 * NS)
    assert np.ptp([c.position[0] for c in commands]) > 0.2


def test_live_tuning_moves_within_the_limits():
    player = RobotPlayer(robot())
    play(player, lambda t: 1.0, 1.0)
    player.mixer.tune("jaw", "max", 0.3)
    commands, _ = play(player, lambda t: 1.0, 1.0, start=T0 + NS)
    assert commands[-1].position[0] == pytest.approx(0.3, abs=1e-3) and commands[-1].clipped[0]
    assert not commands[-1].clipped[1]


def test_a_higher_revision_replaces_what_waits_and_an_old_utterance_does_not():
    player = RobotPlayer(robot())
    for k in range(5):
        player.face(T0 + k * NS // 30, ARKIT_NAMES, weights(0.2), T0, "a", 0)
    player.face(T0 + 2 * NS // 30, ARKIT_NAMES, weights(0.9), T0, "a", 1)
    player.face(T0 + NS // 30, ARKIT_NAMES, weights(0.9), T0, "a", 0)
    assert player.counts["frames of an old revision"] == 1
    assert player._reference.newest == T0 + 2 * NS // 30
    player.face(T0 + NS // 10, ARKIT_NAMES, weights(0.9), T0, "b", 0)
    player.face(T0 + NS // 5, ARKIT_NAMES, weights(0.9), T0, "a", 5)
    assert player.counts["frames of an old utterance"] == 1


@pytest.mark.parametrize("bad", [
    dict(present=T0 - 2 * NS), dict(present=T0 + 6 * NS), dict(names=["jawOpen"]), dict(names=["jawOpen"] * 52),
    dict(names=["x", *ARKIT_NAMES[1:]]), dict(weights=np.full(52, np.nan, np.float32)), dict(weights=np.zeros(0)),
])  # fmt: skip
def test_unusable_frames_are_refused(bad):
    good = dict(present=T0, names=ARKIT_NAMES, weights=weights(1.0), now=T0)
    with pytest.raises(InputError):
        RobotPlayer(robot()).face(**good | bad)


@pytest.mark.parametrize(
    "rotation", [np.zeros(4), np.full(4, np.nan), np.array([0, 0, 0, 1e300]), np.array([0, 0, np.inf, 1])]
)
def test_unusable_poses_are_refused(rotation):
    player = RobotPlayer(robot())
    with pytest.raises(InputError):
        player.pose(T0, rotation, np.zeros(3), T0)
    for offset in (np.full(3, np.nan), np.array([9.0, 0, 0])):
        with pytest.raises(InputError):
            player.pose(T0, UPRIGHT, offset, T0)


def test_a_deadband_keeps_a_servo_quiet():
    def tremor(t: float) -> float:
        return 0.5 + 0.008 * np.sin(40 * t)

    loud, _ = play(RobotPlayer(robot()), tremor, 2.0)
    quiet, _ = play(RobotPlayer(robot(deadband=0.01)), tremor, 2.0)
    ptp = [np.ptp([c.position[0] for c in run[50:]]) for run in (loud, quiet)]
    assert ptp[0] > 0.003 and ptp[1] < 1e-4


def clip(seconds: float = 2.0) -> Performance:
    t = np.arange(round(30 * seconds)) / 30
    w = np.zeros((len(t), 52), np.float32)
    w[:, ARKIT_INDEX["jawOpen"]] = 0.5 - 0.5 * np.cos(2 * np.pi * 2 * t)
    w[:, ARKIT_INDEX["eyeBlinkLeft"]] = w[:, ARKIT_INDEX["eyeBlinkRight"]] = t % 1.0 < 0.1
    return Performance(w, np.tile(np.float32([0, 0, 0.05, 0.99875]), (len(t), 1)), np.zeros((len(t), 3), np.float32),
                       np.zeros((len(t), 4), np.float32), "test", 0)  # fmt: skip


def test_a_dry_run_says_what_clips_and_what_caps_hold_back():
    toy = load_map("toy")
    run = dry_run(toy, clip())
    rows = {row["joint"]: row for row in run.table()}
    assert rows["jaw"]["clipped %"] > 5  # 0.55 rad are asked of a jaw that opens by 0.45
    assert run.asked[:, 0].max() > 0.5 and run.position[:, 0].max() <= 0.45
    assert rows["lids"]["saturated %"] > 1 and rows["lids"]["velocity %"] > 90
    assert all(row[key] <= 100.0 for row in rows.values() for key in ("velocity %", "acceleration %", "jerk %"))
    assert run.position[-1] == pytest.approx([j.rest for j in toy.joints], abs=1e-3)
    assert np.array_equal(run.position, dry_run(toy, clip()).position)


def test_outputs_of_a_dry_run(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="plots need matplotlib: pip install matplotlib")
    run = dry_run(load_map("toy"), clip(0.4))
    for name in ("a.png", "a.csv"):
        plots.write(run, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert len(rows) == len(run.time) and float(rows[40]["jaw_position"]) == pytest.approx(
        run.position[40, 0], abs=1e-6
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.png"]
    for bad in (tmp_path / "a.doc", tmp_path / "none" / "a.png", tmp_path):
        with pytest.raises(ConfigError, match="cannot write"):
            plots.check_output(bad)
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"media2face\[plot\]"):
        plots.check_output(tmp_path / "b.png")


def test_a_film_of_the_simulated_head(tmp_path):
    av = pytest.importorskip("av")
    run = dry_run(load_map("toy"), clip(0.1))
    write_film(run.robot, run.time, run.position, tmp_path / "a.mp4", size=96)
    with av.open(str(tmp_path / "a.mp4")) as film:
        frames = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
    assert len(frames) == pytest.approx((run.time[-1] - run.time[0]) * 25, abs=2)
    assert max(np.abs(f.astype(int) - frames[0]).max() for f in frames) > 40


class Script:
    """Answers, and what was said and moved."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.said: list[str] = []
        self.moves: list[tuple[str, float]] = []

    def ask(self, prompt: str) -> str:
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)

    def move(self, joint: str, position: float) -> None:
        self.moves.append((joint, position))


def walk(source, *answers: str, joints=None) -> tuple[Calibration, Script]:
    script = Script(*answers)
    made = Calibration(source, script.move, script.ask, script.said.append, joints)
    made.run()
    return made, script


def test_the_calibration_walk_writes_a_new_map(tmp_path):
    source, target = examples()["toy"], tmp_path / "tuned.yaml"
    before = source.read_text()
    made, script = walk(source, "0.1", "min", "step 0.05", "+", "rest", "9", "max", "nonsense", "step 7", "next", "-",
                        "rest", "back", "list", "next", "quit")  # fmt: skip
    assert made.changed == {"jaw": {"rest": 0.15, "min": 0.1, "max": 0.45}, "eyes_pan": {"rest": -0.05}}
    made.save(target)
    tuned = load_map(target)
    assert tuned.joints[0].range == (0.1, 0.45) and tuned.joints[0].rest == 0.15 and tuned.joints[1].rest == -0.05
    assert source.read_text() == before
    assert [line for line in before.splitlines() if "#" in line] == [
        line for line in target.read_text().splitlines() if "#" in line
    ]
    limits = {joint.name: joint.range for joint in load_map("toy").joints}
    assert all(limits[name][0] <= position <= limits[name][1] for name, position in script.moves)
    assert any("range ends at 0.45" in line for line in script.said)
    with pytest.raises(ConfigError, match="exists already"):
        made.save(target)
    with pytest.raises(ConfigError):
        made.save(source)


def test_a_calibration_cannot_make_a_bad_map():
    made, script = walk(examples()["toy"], "0.2", "min", "0.1", "max", "0.05", "rest", joints=["jaw"])
    assert any("would not be below" in line for line in script.said)
    assert any("would not be between" in line for line in script.said)
    assert parse_map(edited(examples()["toy"].read_text(), made.changed)).joints[0].range == (0.2, 0.45)
    with pytest.raises(ConfigError, match="no joint 'nose'"):
        walk(examples()["toy"], joints=["nose"])


def test_lists_in_block_style_are_edited_too():
    text = examples()["toy"].read_text().replace("range: [0.0, 0.45]", "range:\n      - 0.0\n      - 0.45  # wide")
    after = edited(text, {"jaw": {"max": 0.3, "min": 0.01}})
    assert parse_map(after).joints[0].range == (0.01, 0.3) and "# wide" in after
