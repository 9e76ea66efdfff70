"""Length: a penalty for responses beyond a soft limit, in [-1, 0].

DAPO's soft overlong punishment (arXiv 2503.14476, equation 13), of a response of L tokens:

    0                              L ≤ limit - buffer
    (limit - buffer - L) / buffer  in between
    -1                             limit < L
"""

from collections.abc import Sequence

from pydantic import Field, model_validator

from mmr1.plumbing.settings import Section
from mmr1.rewards import Response, Scores
from mmr1.rewards.verifier.verify import Verifier

TITLE = "Length penalty"
EXAMPLE = """
grpo:
  rewards: {accuracy: 1.0, format: 1.0, length: {weight: 0.5, limit: 4096, buffer: 1024}}
"""


class Settings(Section):
    """Both in tokens, the end-of-sequence token among them. DAPO: a limit of 20,480 with a buffer of 4,096."""

    limit: int = Field(ge=1, description="tokens from which on the whole penalty is due")
    buffer: int = Field(ge=1, description="tokens before `limit` over which the penalty grows")

    @model_validator(mode="after")
    def _buffer_fits(self) -> "Settings":
        if self.buffer > self.limit:
            raise ValueError(f"buffer: expected at most limit ({self.limit}), found {self.buffer}")
        return self


def score(responses: Sequence[Response], settings: Settings, verifier: Verifier) -> Scores:
    """The penalty of each response."""
    free = settings.limit - settings.buffer
    return Scores([max(-1.0, min(0.0, (free - len(one.token_ids)) / settings.buffer)) for one in responses])
