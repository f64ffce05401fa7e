"""Pose of a walking body and its projection into the picture.

The unit is the body height: x to the right of the picture when the person faces the camera (yaw 0),
y down from the top of the head, z forward.
"""

from dataclasses import dataclass
from functools import cached_property
from math import cos, hypot, pi, sin

from reid.data.synthetic.person import Build

Point = tuple[float, float]
Joint = tuple[float, float, float]

SHOULDER_LINE = 0.185
THIGH = 0.235
SHANK = 0.225
UPPER_ARM = 0.165
FOREARM = 0.150
# how far a nearer joint sinks in the picture, for a camera that looks slightly down
DOWNWARD_TILT = 0.12


@dataclass(frozen=True)
class View:
    """How a camera sees a figure; lengths in pixels of the painted picture.

    `elevation` is the exponent of the height: the smaller, the steeper the camera looks down and
    the larger heads become.
    """

    yaw: float
    phase: float
    elevation: float
    centre: float
    top: float
    height: float

    @cached_property
    def facing(self) -> float:
        """1 when the person looks at the camera, -1 when seen from behind."""
        return cos(self.yaw)

    @cached_property
    def sideways(self) -> float:
        """Horizontal share of the walking direction, positive to the right of the picture."""
        return sin(self.yaw)

    @property
    def label(self) -> int:
        """View id: 0 front, 1 back, 2 side."""
        return 0 if self.facing > 0.5 else 1 if self.facing < -0.5 else 2

    def place(self, joint: Joint) -> Point:
        """Pixel position of a joint."""
        x, y, z = joint
        across = x * self.facing + z * self.sideways
        down = max(y, 0.0) ** self.elevation + DOWNWARD_TILT * self.depth(joint)
        return self.centre + across * self.height, self.top + down * self.height

    def depth(self, joint: Joint) -> float:
        """Nearness to the camera in body heights; larger is nearer."""
        return joint[2] * self.facing - joint[0] * self.sideways

    def half_width(self, side: float, front: float) -> float:
        """Half width in pixels of a body section with two half axes in body heights."""
        return hypot(side * self.facing, front * self.sideways) * self.height


@dataclass(frozen=True)
class Leg:
    """Joints of a leg; `side` is -1 or 1."""

    side: int
    hip: Joint
    knee: Joint
    ankle: Joint
    heel: Joint
    toe: Joint


@dataclass(frozen=True)
class Arm:
    """Joints of an arm; `side` is -1 or 1."""

    side: int
    shoulder: Joint
    elbow: Joint
    wrist: Joint
    hand: Joint


@dataclass(frozen=True)
class Pose:
    """Limbs of a walking body at one phase, each pair ordered far to near."""

    legs: tuple[Leg, Leg]
    arms: tuple[Arm, Arm]


def walking_pose(build: Build, view: View) -> Pose:
    """The limbs at the phase of a view, sorted by depth."""
    legs = (_leg(build, -1, view.phase), _leg(build, 1, view.phase + pi))
    arms = (_arm(build, -1, view.phase + pi), _arm(build, 1, view.phase))
    far_leg, near_leg = sorted(legs, key=lambda leg: view.depth(leg.knee))
    far_arm, near_arm = sorted(arms, key=lambda arm: view.depth(arm.shoulder))
    return Pose((far_leg, near_leg), (far_arm, near_arm))


def _along(start: Joint, length: float, angle: float, outward: float = 0.0) -> Joint:
    """The end of a bone hanging from `start`, swung forward by `angle`."""
    x, y, z = start
    return x + outward, y + length * cos(angle), z + length * sin(angle)


def _leg(build: Build, side: int, phase: float) -> Leg:
    swing = 0.42 * sin(phase)
    bend = 0.10 + 0.55 * max(0.0, -sin(phase + 0.5))
    hip = (side * build.hip * 0.52, build.hip_line, 0.0)
    # bones fill the way from this body's hip line to the ankle at 0.955
    stretch = (0.955 - build.hip_line) / (THIGH + SHANK)
    knee = _along(hip, THIGH * stretch, swing, side * -0.004)
    ankle = _along(knee, SHANK * stretch, swing - bend, side * -0.004)
    x, y, z = ankle
    return Leg(side, hip, knee, ankle, (x, y + 0.022, z - 0.022), (x, y + 0.028, z + 0.070))


def _arm(build: Build, side: int, phase: float) -> Arm:
    swing = 0.50 * sin(phase)
    shoulder = (side * (build.shoulder - 0.018), SHOULDER_LINE + 0.020, 0.0)
    elbow = _along(shoulder, UPPER_ARM, swing, side * 0.016)
    wrist = _along(elbow, FOREARM, swing + 0.35, side * 0.004)
    return Arm(side, shoulder, elbow, wrist, _along(wrist, 0.028, swing + 0.35))
