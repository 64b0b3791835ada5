"""The goals: each a ratio of two figures of the same run, and whether it was met."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio that is wanted. `most`: it is to stay below, not to be reached."""

    name: str
    what: str
    wanted: float
    most: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a goal. `meets` is None where it could not be measured; `why` says why."""

    goal: Goal
    ratio: float | None
    why: str = ""

    @property
    def meets(self) -> bool | None:
        """Whether the goal is met."""
        if self.ratio is None:
            return None
        return self.ratio <= self.goal.wanted if self.goal.most else self.ratio >= self.goal.wanted

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "goal": self.goal.name,
            "what": self.goal.what,
            "wanted": f"{'<=' if self.goal.most else '>='} {self.goal.wanted:g}",
            "ratio": None if self.ratio is None else float(f"{self.ratio:.4g}"),
            "meets": self.meets,
            "why": self.why,
        }


@dataclass(slots=True)
class Findings:
    """What one part of the measurement found: figures in plain numbers, and verdicts."""

    part: str
    figures: dict[str, Any]
    verdicts: list[Verdict]

    def judge(self, goal: Goal, ours: float | None, theirs: float | None, why: str = "") -> None:
        """Set ours beside theirs."""
        ratio = ours / theirs if ours is not None and theirs else None
        self.verdicts.append(Verdict(goal, ratio, why if ratio is None else ""))

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {"part": self.part, "figures": self.figures}


def plain(found: Any) -> Any:
    """A dataclass as JSON."""
    return asdict(found)
