"""Settings of evaluation: benchmarks, how answers are sampled, endpoints."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, WithJsonSchema

from mmr1 import plugins
from mmr1.models.settings import FOLDER, HUB, HubModel, LocalBase
from mmr1.plugins import choice
from mmr1.plumbing.fields import all_different, like
from mmr1.plumbing.settings import Machine, Section, as_before, on_machine


def _a_benchmark(value: str) -> str:
    if value not in plugins.names("benchmarks/suite"):
        raise ValueError(f"no benchmark {value}; there are {', '.join(plugins.names('benchmarks/suite'))}")
    return value


# The benchmarks of the paper's tables, in the order of their columns.
PAPER_BENCHMARKS = ("mathverse", "mathvista", "mathvision", "logicvista", "chartqa")

JUDGE_KEY = "JUDGE_API_KEY"  # the environment variable of a served judge's key
URL = r"https?://[A-Za-z0-9._:/\[\]-]+"
MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*"
BenchmarkName = Annotated[str, AfterValidator(_a_benchmark)]


class Endpoint(Section):
    """A model behind an OpenAI-compatible endpoint. Its key comes from the environment."""

    url: Annotated[
        str,
        AfterValidator(like(URL, "a URL, as in http://host:8000/v1")),
        WithJsonSchema({"type": "string", "pattern": f"^{URL}$"}),
    ] = on_machine(description="up to /v1; it is recorded: no key in it")
    model: Annotated[
        str,
        AfterValidator(like(MODEL_NAME, "a name, as in Qwen/Qwen2.5-VL-7B-Instruct")),
        WithJsonSchema({"type": "string", "pattern": f"^{MODEL_NAME}$"}),
    ] = Field(description="the model's name there")


class Reply(Section):
    """What is asked of a judge (`mmr1.benchmarks.judge`), greedily and once per answer that no rule could decide."""

    max_tokens: int = Field(2048, ge=1, description="bound on a reply, its thinking included")


class LocalReply(Reply):
    """What makes the replies of a judge that runs here."""

    engine: choice("rollout/engines") | None = Field(None, description="by default the recipe's rollout.engine")  # type: ignore[valid-type]


class HubJudge(LocalReply, HubModel):
    """A judge from the Hugging Face hub, at a pinned commit: its verdicts can be made again."""


class FolderJudge(LocalReply, LocalBase):
    """A judge in a Hugging Face folder, which is used where it lies."""


class ServedJudge(Reply, Endpoint):
    """A judge behind an endpoint, whose weights nobody here knows. Its key is $JUDGE_API_KEY."""


def _kind_of_judge(judge: Any) -> str:
    """Which of three sections is meant, so that a mistake in it is told once and under its own path."""
    keys = judge.keys() if isinstance(judge, dict) else type(judge).model_fields
    return SERVED if "url" in keys else FOLDER if "path" in keys else HUB


SERVED = "<endpoint>"
Judge = Annotated[
    Annotated[HubJudge, Tag(HUB)] | Annotated[FolderJudge, Tag(FOLDER)] | Annotated[ServedJudge, Tag(SERVED)],
    Discriminator(_kind_of_judge),
]


class VerifyMachine(Machine):
    """What verdicts by rules take of a machine."""

    workers: int | None = Field(None, ge=1, description="processes of math-verify; by default one per core")


class Verifying(Section):
    """How rules decide."""

    verify_seconds: float = Field(5.0, gt=0, description="processor time for one comparison by math-verify")
    machine: VerifyMachine = Field(default_factory=VerifyMachine)


class ScoreSettings(Verifying):
    """What `score_benchmark.py` and `select_undecided.py` read."""

    benchmark: choice("benchmarks/suite")  # type: ignore[valid-type]
    partial: bool = Field(False, description="score only ids that both files have")


class PrepareSettings(Section):
    """What `prepare_benchmark.py` reads."""

    benchmark: choice("benchmarks/suite")  # type: ignore[valid-type]
    prompt: Literal["bare", "official"] = Field(
        "bare", description="bare: for the paper's prompt, Table 8; official: the text as the benchmark asks it"
    )
    revision: str | None = Field(None, description="another commit of the source than the pinned one")
    limit: int | None = Field(None, ge=1, description="only the first rows")


class EvaluationMachine(VerifyMachine):
    """What verdicts take of a machine."""

    judge_retries: int = Field(6, ge=0, description="tries again after a failure of a served judge, ever later")


class Evaluation(Verifying):
    """How checkpoints are compared (§6.1)."""

    benchmarks: Annotated[list[BenchmarkName], Field(min_length=1), AfterValidator(all_different)]
    official_prompt: bool = Field(
        False, description="ask as each benchmark itself does, in place of prompts.evaluation (the paper's Table 8)"
    )
    temperature: float = Field(0.0, ge=0, description="the paper gives none; 0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1, description="responses per problem")
    limit: int | None = as_before(None, ge=1, description="only the first problems of each, for a first look")
    max_tokens: int = Field(4096, ge=1)
    judge: Judge | None = Field(None, description="who decides what no rule could (none by default)")
    machine: EvaluationMachine = Field(default_factory=EvaluationMachine)
