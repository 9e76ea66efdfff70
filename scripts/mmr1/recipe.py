"""The recipe: everything a run depends on, as pydantic models that check it before any job starts.

One YAML file in `config/` is one recipe. `models` and `runs` override any of its sections; `resolve` gives the
sections as they hold for one model and one run. No torch here: the workflow reads this in the driver's environment.
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from mmr1.errors import UserError
from mmr1.grpo.settings import GRPOSettings
from mmr1.settings import describe
from mmr1.sft.settings import SFTSettings
from mmr1.tiny_architecture import TinyArchitecture


def _in_unit_interval(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is not in [0, 1]")
    return value


def _a_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", value):
        raise ValueError(f"{value!r} is not a name: letters, digits, '.' and '-' only")
    return value


Share = Annotated[
    float, AfterValidator(_in_unit_interval), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})
]
Name = Annotated[str, AfterValidator(_a_name)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]

# Names that stand beside runs in paths.
RESERVED_RUNS = {"base", "sft", "eval", "initial", "settings"}


class Section(BaseModel):
    """A part of a recipe: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


class TinyBase(Section):
    """A base model with random weights of the real architecture."""

    tiny: TinyArchitecture


class HubBase(Section):
    """A base model from the Hugging Face hub, at a pinned commit."""

    hub: str = Field(description="repository, such as Qwen/Qwen2.5-VL-3B-Instruct")
    revision: str = Field(description="commit hash, or a prefix that is resolved and checked at download")


class DigitsData(Section):
    """How many problems of the embedded data set to make."""

    digits: "DigitsSizes"


class DigitsSizes(Section):
    problems: int = Field(ge=1, description="the RL pool")
    sft: int = Field(ge=1, description="conversations")
    sft_validation: int = Field(ge=1)
    validation: int = Field(ge=1, description="for the validation curve of RL")
    test: int = Field(ge=1, description="for evaluation")


class HubSource(Section):
    """A data set on the Hugging Face hub, at a pinned commit."""

    hub: str
    revision: str = Field(description="commit hash, or a prefix that is resolved and checked at download")
    rows: int = Field(ge=1, description="how many the source says it has; any other number is an error")
    max_dropped: int = Field(0, ge=0, description="how many broken or overlong rows may be left out, each noted")


class HubData(Section):
    """The paper's data sets."""

    sft: HubSource
    sft_validation: int = Field(1024, ge=1, description="conversations held out of SFT, for its validation loss")
    rl: HubSource
    validation: Name = Field(description="the benchmark whose problems make the validation curve of RL")


class Prompts(Section):
    """System prompts: text files, and where they go."""

    training: Path | None = None
    evaluation: Path | None = None
    position: Literal["system", "user"] = Field("system", description="user: in front of the question, as released")


class Schedule(Section):
    """Which problem is trained on when (Algorithm 1)."""

    steps: int = Field(ge=1, description="training steps in all")
    update_every: int = Field(ge=1, description="T_update: steps under one set of scores; the last round may be short")
    batch_size: int = Field(ge=1, description="problems a step (the rollout batch)")
    draws: Literal["iid", "permutation"] = Field("iid", description="how the uniform part is drawn")


class VAS(Section):
    """Variance-aware sampling: scores and their share of the batch (§3)."""

    mix: Share = Field(0.5, description="λ: share of the batch drawn in proportion to VPS; 0 is plain GRPO")
    outcome_weight: float = Field(0.8, ge=0, description="α, of OVS")
    diversity_weight: float = Field(0.2, ge=0, description="β, of TDS")
    diversity: Literal[
        "inverse_self_bleu_123", "self_bleu_123", "distinct_1", "distinct_2", "distinct_3", "pairwise_edit"
    ] = "inverse_self_bleu_123"
    samples: int = Field(32, ge=1, description="N: rollouts a problem for its score")
    temperature: float = Field(0.6, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    minmax: bool = Field(False, description="as released: scores min-max normalised over the set")
    momentum: Share = Field(0.0, description="as released: share of the old score that is kept")
    ovs_estimate: Literal["plain", "beta"] = "plain"
    refresh: Literal["full", "reuse", "stale"] = Field(
        "full",
        description="full: all problems are generated again each round (Algorithm 1); reuse: the last round's training "
        "rollouts update the problems they touched; stale: only old or uncertain scores are generated again",
    )
    stale_share: float = Field(0.5, gt=0, le=1, description="part of the problems that `stale` generates again")
    stale_half_life: float = Field(28.0, gt=0, description="steps after which evidence counts half")
    verify_seconds: float = Field(2.0, gt=0, description="time limit of one verification")


class Rollout(Section):
    """How rollouts outside training are made."""

    engine: Literal["transformers", "vllm"] = "vllm"
    shards: int = Field(1, ge=1, description="jobs that share one pass over the problems")
    batch_size: int = Field(256, ge=1, description="requests a batch (transformers)")
    max_prompt_tokens: int = Field(2048, ge=1)
    max_tokens: int = Field(4096, ge=1)
    tensor_parallel: int = Field(1, ge=1)
    min_pixels: int | None = Field(None, ge=1)
    max_pixels: int | None = Field(None, ge=1)


class Validation(Section):
    """The validation curve of training (Figure 2)."""

    every: int = Field(5, ge=1, description="steps between two validations")


class Evaluation(Section):
    """How checkpoints are compared (§6.1)."""

    benchmarks: list[Name] = Field(min_length=1)
    temperature: float = Field(0.0, ge=0, description="the paper gives none; 0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1, description="responses a problem")
    max_tokens: int = Field(4096, ge=1)
    judge: str | None = Field(None, description="model name behind an OpenAI-compatible endpoint; none by default")


class Resources(Section):
    """What one job of a stage asks for."""

    threads: int = Field(1, ge=1, description="CPU threads; results depend on it in the last bits")
    mem_mb: int = Field(2000, ge=1)
    runtime: int = Field(60, ge=1, description="minutes")
    gpus: int = Field(0, ge=0, description="GPUs a node")
    nodes: int = Field(1, ge=1)


STAGES = ("data", "sft", "generate", "score", "train", "evaluate", "report")


class Stages(Section):
    """The sections that models and runs may override."""

    prompts: Prompts
    sft: SFTSettings
    schedule: Schedule
    vas: VAS
    rollout: Rollout
    grpo: GRPOSettings
    validation: Validation
    evaluation: Evaluation
    resources: dict[Literal["data", "sft", "generate", "score", "train", "evaluate", "report"], Resources] = {}

    def stage_resources(self, stage: str) -> Resources:
        """What a job of `stage` asks for; the defaults where the recipe says nothing."""
        return self.resources.get(stage, Resources())  # type: ignore[call-overload]


class Model(Section):
    """A base model, and what differs for its size."""

    base: TinyBase | HubBase
    overrides: dict[str, Any] = Field({}, description="sections as in the recipe")


class Run(BaseModel):
    """One way of doing RL: sections that differ from the recipe's, and where it runs."""

    model_config = ConfigDict(extra="allow")

    models: list[Name] | None = Field(None, description="only for these; all by default")
    seeds: list[Seed] | None = Field(None, description="instead of the recipe's")
    checkpoint: str | None = Field(None, description="no training: evaluate this Hugging Face folder as a row")

    @property
    def overrides(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Recipe(Stages):
    """One recipe. Its name is the folder under `results/` and the experiment in MLflow."""

    name: Name
    environment: Literal["cpu", "gpu"] = Field("cpu", description="which environment runs models")
    seed: Seed = Field(0, description="of data, base model and SFT")
    seeds: list[Seed] = Field([0], min_length=1, description="of RL: each run is done once a seed")
    mlflow: str | None = Field(None, description="tracking URI of a server; a SQLite file in the results by default")
    keep_states: Literal["last", "all"] = "last"
    data: DigitsData | HubData
    models: dict[Name, Model] = Field(min_length=1)
    runs: dict[Name, Run] = Field(min_length=1)

    def resolve(self, model: str, run: str | None = None) -> Stages:
        """The sections for one model, and for one run of it if one is named."""
        sections = {name: getattr(self, name) for name in Stages.model_fields}
        values = Stages.model_construct(**sections).model_dump(mode="json", exclude_unset=True)
        values = _merged(values, self.models[model].overrides)
        if run is not None:
            values = _merged(values, self.runs[run].overrides)
        return Stages.model_validate(values)

    def rounds(self, model: str, run: str) -> int:
        """How many rounds of at most `update_every` steps a run has."""
        schedule = self.resolve(model, run).schedule
        return -(-schedule.steps // schedule.update_every)

    def trained(self) -> list[tuple[str, str, int]]:
        """Every (model, run, seed) that is trained."""
        return [
            (model, name, seed)
            for name, run in self.runs.items()
            if run.checkpoint is None
            for model in run.models or self.models
            for seed in run.seeds or self.seeds
        ]

    @model_validator(mode="after")
    def _names_are_known(self) -> "Recipe":
        for name, run in self.runs.items():
            if name in RESERVED_RUNS:
                raise ValueError(
                    f"runs.{name}: this name is taken; expected none of {', '.join(sorted(RESERVED_RUNS))}"
                )
            for model in run.models or []:
                if model not in self.models:
                    raise ValueError(f"runs.{name}.models: no model {model}; there are {', '.join(self.models)}")
        return self

    @model_validator(mode="after")
    def _sections_are_valid(self) -> "Recipe":
        self._check_batch("", self)
        for model in self.models:
            self._check_overrides(f"models.{model}.overrides", model, None)
        for name, run in self.runs.items():
            for model in run.models or self.models:
                self._check_overrides(f"runs.{name}", model, name)
        return self

    def _check_overrides(self, where: str, model: str, run: str | None) -> None:
        try:
            stages = self.resolve(model, run)
        except ValidationError as error:
            raise ValueError(f"{where}.{describe(error)}") from None
        self._check_batch(f"{where}.", stages)

    def _check_batch(self, where: str, stages: Stages) -> None:
        size, name = self._pool()
        found = stages.schedule.batch_size
        if found > size:
            raise ValueError(f"{where}schedule.batch_size: expected at most {name} ({size}), found {found}")

    def _pool(self) -> tuple[int, str]:
        """How many problems RL has, and where the recipe says so."""
        if isinstance(self.data, DigitsData):
            return self.data.digits.problems, "data.digits.problems"
        return self.data.rl.rows, "data.rl.rows"


def load_recipe(values: dict[str, Any]) -> Recipe:
    """Check a recipe. Raises UserError, in one line, with the path of what is wrong."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(describe(error)) from None


def _merged(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in overrides.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = _merged(result[name], value) if both else value
    return result
