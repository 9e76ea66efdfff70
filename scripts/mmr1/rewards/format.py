r"""Format (§6.1, Table 7): 1 for `<think>…</think><answer>…\boxed{…}…</answer>` and no more, else 0."""

from collections.abc import Sequence

from mmr1.answers.response import last_boxed
from mmr1.plumbing.settings import Section
from mmr1.rewards import Response, Scores
from mmr1.rewards.verifier.verify import Verifier

TITLE = "Format"
EXAMPLE = """
grpo:
  rewards: {accuracy: 1.0, format: 0.5}
"""


def score(responses: Sequence[Response], settings: Section, verifier: Verifier) -> Scores:
    """1.0 for a response that is laid out as asked, 0.0 for any other."""
    return Scores([float(well_formed(one.text)) for one in responses])


def well_formed(text: str) -> bool:
    """Whether a response is laid out as Table 7 asks.

    Each tag occurs once, white space may stand around the two sections, the reasoning is not blank and the answer has a
    box that closes and is not empty.
    """
    text = text.strip()
    if any(text.count(tag) != 1 for tag in ("<think>", "</think>", "<answer>", "</answer>")):
        return False
    if not (text.startswith("<think>") and text.endswith("</answer>")):
        return False
    thought, _, rest = text.removeprefix("<think>").partition("</think>")
    rest = rest.lstrip()
    return bool(thought.strip()) and rest.startswith("<answer>") and bool(last_boxed(rest.removesuffix("</answer>")))
