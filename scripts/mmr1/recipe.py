"""The recipe: everything a run depends on, as pydantic models that check it before any job starts.

One YAML file in `config/` is one recipe. `models` and `runs` override any of its sections; `resolve` gives the
sections as they hold for one model and one run. No torch here: the workflow reads this in the driver's environment.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from mmr1.grpo.settings import GRPOSettings
from mmr1.models.tiny_architecture import TinyArchitecture
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.settings import describe
from mmr1.sft.settings import SFTSettings


def _in_unit_interval(value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is not in [0, 1]")
    return value


def _a_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", value):
        raise ValueError(f"{value!r} is not a name: letters, digits, '.' and '-' only")
    return value


def _all_different(values: list[Any]) -> list[Any]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f"{value} stands there twice")
    return values


def _a_benchmark(value: str) -> str:
    if value not in BENCHMARKS:
        raise ValueError(f"no benchmark {value}; there are {', '.join(BENCHMARKS)}")
    return value


def _a_tracking_uri(value: str) -> str:
    """What the export would refuse, said before days of training."""
    if urlsplit(value).password:
        raise ValueError("found a password; give it in MLFLOW_TRACKING_PASSWORD, for URIs are recorded")
    if value.startswith("sqlite:") and not Path(value.removeprefix("sqlite:///")).is_absolute():
        raise ValueError(f"expected an absolute path, as in sqlite:////home/you/mlflow.db, found {value}")
    return value


def _a_url(value: str) -> str:
    if not re.fullmatch(URL, value):
        raise ValueError(f"expected a URL, as in http://host:8000/v1, found {value}")
    return value


URL = r"https?://[A-Za-z0-9._:/\[\]-]+"
Share = Annotated[
    float, AfterValidator(_in_unit_interval), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})
]
Name = Annotated[str, AfterValidator(_a_name)]
BenchmarkName = Annotated[str, AfterValidator(_a_benchmark)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(_all_different)]

# As in mmr1.benchmarks.registry, which the driver's environment cannot import.
BENCHMARKS = ("mathverse", "mathvista", "mathvision", "logicvista", "chartqa", "digits")

# Names that stand beside runs in paths.
RESERVED_RUNS = {"base", "sft", "eval", "initial", "settings"}
# What is done once a model: a run that said otherwise would not be heard.
SHARED_BY_RUNS = {"sft", "evaluation"}
# What of the evaluation is done once for all models.
SHARED_BY_MODELS = {"benchmarks", "official_prompt"}


class Section(BaseModel):
    """A part of a recipe: an unknown key is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def _kind(section: Any) -> str:
    """Which of two sections is meant, so that a mistake in it is told once and under its own path."""
    return "<embedded>" if isinstance(section, dict) and section.keys() & {"tiny", "digits"} else "<hub>"


class TinyBase(Section):
    """A base model with random weights of the real architecture."""

    tiny: TinyArchitecture


class HubBase(Section):
    """A base model from the Hugging Face hub, at a pinned commit."""

    hub: str = Field(description="repository, such as Qwen/Qwen2.5-VL-3B-Instruct")
    revision: str = Field(description="commit hash, or a prefix that is resolved and checked at download")


Base = Annotated[Annotated[TinyBase, Tag("<embedded>")] | Annotated[HubBase, Tag("<hub>")], Discriminator(_kind)]


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
    validation: BenchmarkName = Field(description="the benchmark whose problems make the validation curve of RL")


Data = Annotated[Annotated[DigitsData, Tag("<embedded>")] | Annotated[HubData, Tag("<hub>")], Discriminator(_kind)]


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

    @model_validator(mode="after")
    def _scores_can_differ(self) -> "VAS":
        if self.mix > 0 and self.outcome_weight == self.diversity_weight == 0:
            raise ValueError("outcome_weight, diversity_weight: expected at least one above 0, found 0 and 0")
        return self


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

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> "Rollout":
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels: expected at most max_pixels ({self.max_pixels}), found {self.min_pixels}")
        return self


class Validation(Section):
    """The validation curve of training (Figure 2)."""

    every: int = Field(5, ge=1, description="steps between two validations")


class Endpoint(Section):
    """A model behind an OpenAI-compatible endpoint. Its key comes from the environment."""

    url: Annotated[str, AfterValidator(_a_url), WithJsonSchema({"type": "string", "pattern": f"^{URL}$"})] = Field(
        description="up to /v1; it is recorded: no key in it"
    )
    model: str = Field(min_length=1, description="the model's name there")


class Evaluation(Section):
    """How checkpoints are compared (§6.1)."""

    benchmarks: Annotated[list[BenchmarkName], Field(min_length=1), AfterValidator(_all_different)]
    official_prompt: bool = Field(
        False, description="ask as each benchmark itself does, in place of prompts.evaluation (the paper's Table 8)"
    )
    temperature: float = Field(0.0, ge=0, description="the paper gives none; 0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1, description="responses a problem")
    max_tokens: int = Field(4096, ge=1)
    judge: Endpoint | None = Field(None, description="who decides open answers that no rule could (none by default)")


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

    @model_validator(mode="after")
    def _prompts_stand_where_they_are_trained(self) -> "Stages":
        for name, found in (("sft", self.sft.prompt_position), ("grpo", self.grpo.prompt_position)):
            if found != self.prompts.position:
                raise ValueError(
                    f"{name}.prompt_position: expected the same as prompts.position ({self.prompts.position}), "
                    f"found {found}"
                )
        return self


class Model(Section):
    """A base model, and what differs for its size."""

    base: Base
    overrides: dict[str, Any] = Field({}, description="sections as in the recipe")


def _folder_or_endpoint(checkpoint: Any) -> str:
    return "<endpoint>" if isinstance(checkpoint, dict | Endpoint) else "<folder>"


Checkpoint = Annotated[
    Annotated[str, Tag("<folder>")] | Annotated[Endpoint, Tag("<endpoint>")], Discriminator(_folder_or_endpoint)
]


class Run(BaseModel):
    """One way of doing RL: sections that differ from the recipe's, and where it runs."""

    model_config = ConfigDict(extra="allow")

    models: Annotated[list[Name], Field(min_length=1), AfterValidator(_all_different)] | None = Field(
        None, description="only for these; all by default"
    )
    seeds: Seeds | None = Field(None, description="instead of the recipe's")
    checkpoint: Checkpoint | None = Field(
        None,
        description="no training: evaluate this Hugging Face folder, or this served model, as one more row; with the "
        "first model's settings, or those of `models`",
    )

    @property
    def overrides(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Recipe(Stages):
    """One recipe. Its name is the folder under `results/` and the experiment in MLflow."""

    name: Name
    environment: Literal["cpu", "gpu"] = Field("cpu", description="which environment runs models")
    seed: Seed = Field(0, description="of data, base model and SFT")
    seeds: Seeds = Field([0], description="of RL: each run is done once a seed")
    mlflow: Annotated[str, AfterValidator(_a_tracking_uri)] | None = Field(
        None, description="tracking URI of a server; a SQLite file in the results by default"
    )
    keep_states: Literal["last", "all"] = "last"
    data: Data
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
    def _overrides_have_an_effect(self) -> "Recipe":
        for model, one in self.models.items():
            for name in SHARED_BY_MODELS & (one.overrides.get("evaluation") or {}).keys():
                raise ValueError(f"models.{model}.overrides.evaluation.{name}: all models have the recipe's")
        for name, run in self.runs.items():
            for section in SHARED_BY_RUNS & run.overrides.keys():
                raise ValueError(
                    f"runs.{name}.{section}: all runs of a model share it; expected under models.<model>.overrides"
                )
        return self

    @model_validator(mode="after")
    def _sections_are_valid(self) -> "Recipe":
        self._check_batch("", self)
        if isinstance(self.data, HubData) and "digits" in (self.data.validation, *self.evaluation.benchmarks):
            raise ValueError("evaluation.benchmarks, data.validation: digits need data.digits, found other data")
        if isinstance(self.data, DigitsData) and (found := self.sft.batch_size) > self.data.digits.sft:
            raise ValueError(
                f"sft.batch_size: expected at most data.digits.sft ({self.data.digits.sft}), found {found}"
            )
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


def check_files(recipe: Recipe) -> None:
    """Raises UserError, in one line, if a file that the recipe names is not there (seen from the working directory)."""
    for where, path in _named_files(recipe):
        if not path.exists():
            raise UserError(f"{where}: {path}: no such file or folder")


def _named_files(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    """Where the recipe names a file, and the file: of every section as it holds for every model and run."""
    for name, run in recipe.runs.items():
        if isinstance(run.checkpoint, str):
            yield f"runs.{name}.checkpoint", Path(run.checkpoint)
    places: list[tuple[str, Stages]] = [("", recipe)]
    places += [(f"models.{model}.overrides.", recipe.resolve(model)) for model in recipe.models]
    places += [(f"runs.{run}.", recipe.resolve(model, run)) for model in recipe.models for run in recipe.runs]
    for where, stages in places:
        for path, value in (
            ("prompts.training", stages.prompts.training),
            ("prompts.evaluation", stages.prompts.evaluation),
            ("sft.deepspeed", stages.sft.deepspeed),
            ("grpo.deepspeed", stages.grpo.deepspeed),
        ):
            if isinstance(value, str | Path):
                yield f"{where}{path}", Path(value)


def _merged(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in overrides.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = _merged(result[name], value) if both else value
    return result
