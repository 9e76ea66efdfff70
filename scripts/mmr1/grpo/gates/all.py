"""All groups are trained on. One whose rewards are equal has no advantages, and only the KL term moves its tokens."""

from typing import TYPE_CHECKING

from mmr1.plugins import NoSettings

if TYPE_CHECKING:
    from mmr1.grpo.experience import Group

TITLE = "all groups"
EXAMPLE = """
grpo:
  gate: all
"""


def batches(settings: NoSettings) -> int:
    """The queue is the batch."""
    return 1


def wanted(entries: int, settings: NoSettings) -> int:
    """All of them."""
    return entries


def admits(group: "Group", settings: NoSettings) -> bool:
    """Every group is."""
    return True
