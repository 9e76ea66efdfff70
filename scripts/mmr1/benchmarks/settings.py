"""Settings of evaluation: benchmarks, how answers are sampled, endpoints."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from mmr1 import plugins
from mmr1.plumbing.fields import all_different
from mmr1.plumbing.settings import Section


def _a_benchmark(value: str) -> str:
    if value not in plugins.names("benchmarks/suite"):
        raise ValueError(f"no benchmark {value}; there are {', '.join(plugins.names('benchmarks/suite'))}")
    return value


def _a_url(value: str) -> str:
    if not re.fullmatch(URL, value):
        raise ValueError(f"expected a URL, as in http://host:8000/v1, found {value}")
    return value


URL = r"https?://[A-Za-z0-9._:/\[\]-]+"
BenchmarkName = Annotated[str, AfterValidator(_a_benchmark)]


class Endpoint(Section):
    """A model behind an OpenAI-compatible endpoint. Its key comes from the environment."""

    url: Annotated[str, AfterValidator(_a_url), WithJsonSchema({"type": "string", "pattern": f"^{URL}$"})] = Field(
        description="up to /v1; it is recorded: no key in it"
    )
    model: str = Field(min_length=1, description="the model's name there")


class Evaluation(Section):
    """How checkpoints are compared (§6.1)."""

    benchmarks: Annotated[list[BenchmarkName], Field(min_length=1), AfterValidator(all_different)]
    official_prompt: bool = Field(
        False, description="ask as each benchmark itself does, in place of prompts.evaluation (the paper's Table 8)"
    )
    temperature: float = Field(0.0, ge=0, description="the paper gives none; 0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1, description="responses a problem")
    max_tokens: int = Field(4096, ge=1)
    judge: Endpoint | None = Field(None, description="who decides open answers that no rule could (none by default)")
