"""DAPO's dynamic sampling (arXiv 2503.14476, §3.2): groups without variance are passed over, and others drawn for them.

A group is trained on if its accuracy is neither all 0 nor all 1 (eq. 11). For q of groups that are, a step of
`batch_size` costs batch_size / q groups on average; `max_draws` bounds it, and a step may then train on fewer.
"""

import math
from typing import TYPE_CHECKING

from pydantic import Field

from mmr1.plumbing.settings import Section

if TYPE_CHECKING:
    from mmr1.grpo.experience import Group

TITLE = "DAPO's dynamic sampling"
EXAMPLE = """
grpo:
  gate: {name: dapo, batch_size: 32, max_draws: 3}
"""


class Settings(Section):
    """How many groups that vary make a step, and how many may be drawn for it."""

    batch_size: int = Field(ge=1, description="groups a step trains on, at most")
    max_draws: float = Field(3.0, ge=1, description="a step's queue holds this many batches, rounded up")


def batches(settings: Settings) -> int:
    """Room for the groups that are passed over."""
    return math.ceil(settings.max_draws)


def wanted(entries: int, settings: Settings) -> int:
    """As many as the settings say."""
    return settings.batch_size


def admits(group: "Group", settings: Settings) -> bool:
    """Whether its accuracies differ."""
    return len({one.accuracy for one in group.judged}) > 1
