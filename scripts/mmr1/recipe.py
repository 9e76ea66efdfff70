"""The recipe: everything a run depends on, as pydantic models that check it before any job starts.

One YAML file in `config/` is one recipe. `models` and `runs` override any of its sections; `resolve` gives the
sections as they hold for one model and one run. No torch here: the workflow reads this in the driver's environment.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    model_validator,
)

from mmr1.benchmarks.settings import Endpoint, Evaluation
from mmr1.data.settings import Curation, Data, Preparation, Prompts, made_benchmarks
from mmr1.data.sources import TABLES
from mmr1.grpo.settings import GRPOSettings
from mmr1.models.settings import FOLDER, HUB, Base, ColdStart, Family, HubModel, LocalBase, family_key
from mmr1.plugins import Plugin
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.fields import all_different, like
from mmr1.plumbing.secrets import has_secret
from mmr1.plumbing.settings import Section, describe, merged
from mmr1.rollout.settings import Rollout
from mmr1.sft.settings import SFTSettings
from mmr1.vas.settings import VAS, Counterfactual, Schedule


def _a_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", value):
        raise ValueError(f"{value!r} is not a name: letters, digits, '.' and '-' only")
    return value


def _a_tracking_uri(value: str) -> str:
    """What the export would refuse, said before days of training."""
    if has_secret(value):
        raise ValueError("found a user name, password or key in it; give it in MLFLOW_TRACKING_USERNAME and the like")
    like(TRACKING_URI, "a tracking URI, as in http://host:5000")(value)
    if value.startswith("sqlite:") and not Path(value.removeprefix("sqlite:///")).is_absolute():
        raise ValueError(f"expected an absolute path, as in sqlite:////home/you/mlflow.db, found {value}")
    return value


TRACKING_URI = r"databricks|[a-z][a-z0-9+.-]*:/[^\x00-\x1f\"'`$;|&<>\\{}]*"
Name = Annotated[str, AfterValidator(_a_name)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seeds = Annotated[list[Seed], Field(min_length=1), AfterValidator(all_different)]

# Names that stand beside runs in paths.
RESERVED_RUNS = {"base", "sft", "eval", "initial", "settings"}
# What is done once a model: a run that said otherwise would not be heard.
SHARED_BY_RUNS = {"sft", "evaluation"}
# What of the evaluation is done once for all models.
SHARED_BY_MODELS = {"benchmarks", "official_prompt", "limit", "judge"}


class Validation(Section):
    """The validation curve of training (Figure 2)."""

    every: int = Field(5, ge=1, description="steps between two validations")


class Resources(Section):
    """What one job of a stage asks for."""

    threads: int = Field(1, ge=1, description="CPU threads; results depend on it in the last bits")
    mem_mb: int = Field(2000, ge=1)
    runtime: int = Field(60, ge=1, description="minutes")
    gpus: int = Field(0, ge=0, description="GPUs per node")
    nodes: int = Field(1, ge=1)


# What only training reads: a recipe that trains nothing may leave these sections out.
TRAINING = ("schedule", "vas", "grpo", "validation")
UNUSED_SCHEDULE = Schedule(steps=1, update_every=1, batch_size=1)  # stands where nothing is trained


class Stages(Section):
    """The sections that models and runs may override."""

    prompts: Prompts
    sft: SFTSettings = Field(default_factory=lambda: SFTSettings.model_validate({}))
    schedule: Schedule = UNUSED_SCHEDULE
    vas: VAS = Field(default_factory=lambda: VAS.model_validate({}))
    rollout: Rollout
    grpo: GRPOSettings = Field(default_factory=lambda: GRPOSettings.model_validate({}))
    validation: Validation = Field(default_factory=lambda: Validation.model_validate({}))
    evaluation: Evaluation
    resources: dict[Literal["data", "sft", "generate", "score", "train", "evaluate", "judge", "report"], Resources] = (
        Field({})
    )

    _family: Plugin | None = PrivateAttr(None)

    @property
    def draws_uniformly(self) -> bool:
        """Whether every problem is equally likely at every step: plain GRPO's draws."""
        sampler = self.schedule.sampler.name  # type: ignore[attr-defined]
        return sampler == "uniform" or (sampler == "vas" and self.vas.mix == 0)

    @property
    def family(self) -> Plugin:
        """The kind of the model that these sections hold for."""
        assert self._family is not None  # `Recipe.resolve` says it
        return self._family

    def stage_resources(self, stage: str) -> Resources:
        """What a job of `stage` asks for; the defaults where the recipe says nothing, and for a judge `evaluate`'s."""
        asked = self.resources.get("judge", self.resources.get("evaluate")) if stage == "judge" else None
        return asked or self.resources.get(stage, Resources())  # type: ignore[call-overload]

    @model_validator(mode="after")
    def _prompts_stand_where_they_are_trained(self) -> "Stages":
        for name, position in (("sft", self.sft.prompt_position), ("grpo", self.grpo.prompt_position)):
            if name in self.model_fields_set and position != self.prompts.position:
                raise ValueError(
                    f"{name}.prompt_position: expected the same as prompts.position ({self.prompts.position}), "
                    f"found {position}"
                )
        return self


class Model(Section):
    """A base model or a cold start that others have trained, and what differs for its size."""

    base: Base | None = None
    sft: ColdStart | None = Field(None, description="where RL starts, in place of SFT of the base model")
    family: Family = family_key()
    overrides: dict[str, Any] = Field({}, description="sections as in the recipe")

    @property
    def model_family(self) -> Plugin:
        """What kind of model it is: what the base says, where there is one."""
        return self.family if self.base is None else self.base.model_family


def _kind_of_checkpoint(checkpoint: Any) -> str:
    if isinstance(checkpoint, dict):
        return HUB if "hub" in checkpoint else "<endpoint>"
    return "<endpoint>" if isinstance(checkpoint, Endpoint) else HUB if isinstance(checkpoint, HubModel) else FOLDER


Released = Annotated[
    Annotated[Path, Tag(FOLDER)] | Annotated[HubModel, Tag(HUB)] | Annotated[Endpoint, Tag("<endpoint>")],
    Discriminator(_kind_of_checkpoint),
]


class Run(BaseModel):
    """One way of doing RL: sections that differ from the recipe's, and where it runs."""

    model_config = ConfigDict(extra="allow")

    models: Annotated[list[Name], Field(min_length=1), AfterValidator(all_different)] | None = Field(
        None, description="only for these; all by default"
    )
    seeds: Seeds | None = Field(None, description="instead of the recipe's")
    checkpoint: Released | None = Field(
        None,
        description="no training: evaluate this Hugging Face folder, this repository of the hub, or this served model, "
        "as one more row; with the first model's settings, or those of `models`",
    )

    @property
    def overrides(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class Recipe(Stages):
    """One recipe. Its name is the folder under `results/` and the experiment in MLflow, unless it is limited."""

    name: Name = Field(description="the folder under `results/`, and the experiment in MLflow")
    environment: Literal["cpu", "gpu"] = Field("cpu", description="which environment runs models")
    deterministic: bool = Field(
        False, description="training and sampling give equal bits each time, on GPUs of one kind too (docs/training.md)"
    )
    seed: Seed = Field(0, description="of data, base model and SFT")
    seeds: Seeds = Field([0], description="of RL: each run is done once per seed")
    mlflow: Annotated[str, AfterValidator(_a_tracking_uri)] | None = Field(
        None,
        description="tracking URI of a server, which is shown trainings live; a SQLite file in the results by default",
    )
    keep_states: Literal["last_two", "last", "all"] = Field(
        "last_two",
        description="which optimizer states of a run stay: its last, so that more rounds can follow, and the one that "
        "its last round starts from, so that this round can be repeated alone; only the last; or every one",
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="only the first problems of everything, for a first look; `data.limit` and `evaluation.limit` are "
        "for one of them. Such a run has results of its own",
    )
    data: Data | None = None
    curation: Curation = Field(Curation(), description="of the target `curate`; nothing else reads it")
    counterfactual: Counterfactual = Field(
        Counterfactual.model_validate({}), description="of the target `counterfactual`; nothing else reads it"
    )
    models: dict[Name, Model] = Field(min_length=1)
    runs: dict[Name, Run] = Field(min_length=1)

    def resolve(self, model: str, run: str | None = None) -> Stages:
        """The sections for one model, and for one run of it if one is named."""
        sections = {name: getattr(self, name) for name in Stages.model_fields if name in self.model_fields_set}
        values = Stages.model_construct(**sections).model_dump(mode="json", exclude_unset=True)
        values = merged(values, self.models[model].overrides)
        if run is not None:
            values = merged(values, self.runs[run].overrides)
        stages = Stages.model_validate(values)
        stages._family = self.models[model].model_family
        return stages

    @property
    def family(self) -> Plugin:
        """The kind of the first model, which stands for all where data are prepared."""
        return next(iter(self.models.values())).model_family

    def baselines(self, model: str) -> dict[str, str | None]:
        """The run with uniform draws that each trained run of a model is compared with: None for itself, or for want.

        That is the first that trains on every group it draws, or the first whose `grpo` is that of the run compared.
        """
        trained = dict.fromkeys(run for one, run, _ in self.trained() if one == model)
        stages = {run: self.resolve(model, run) for run in trained}
        uniform = [run for run in trained if stages[run].draws_uniformly]
        plain = [run for run in uniform if stages[run].grpo.gate.name == "all"]  # type: ignore[attr-defined]
        first = next(iter(plain or uniform), None)
        found: dict[str, str | None] = {}
        for run in trained:
            alike = [one for one in uniform if one != run and stages[one].grpo == stages[run].grpo]
            found[run] = None if run == first else next(iter(alike), first)
        return found

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

    @property
    def limited(self) -> str | None:
        """What names and records say where only the first problems are taken, such as limit20; None if all are."""
        data = None if self.data is None else self.data.limit
        limits = {"": self.limit, "data-": data, "evaluation-": self.evaluation.limit}
        return "-".join(f"{where}limit{limit}" for where, limit in limits.items() if limit is not None) or None

    @property
    def folder(self) -> str:
        """The folder of its results, below `results/`."""
        return self.name if self.limited is None else f"{self.name}-{self.limited}"

    @property
    def data_limit(self) -> int | None:
        """How many problems and conversations of each table of the data source are taken at most."""
        return self.limit if self.data is None or self.data.limit is None else self.data.limit

    @property
    def evaluation_limit(self) -> int | None:
        """How many problems of each benchmark are taken at most."""
        return self.limit if self.evaluation.limit is None else self.evaluation.limit

    def rl_models(self) -> list[str]:
        """The models that RL trains, in the recipe's order."""
        trained = {model for model, _, _ in self.trained()}
        return [model for model in self.models if model in trained]

    def sft_models(self) -> list[str]:
        """The models whose cold start is trained here: those that RL trains, but for those that name a checkpoint."""
        return [model for model in self.rl_models() if self.models[model].sft is None]

    def tables(self) -> list[str]:
        """The tables of the data source that training needs."""
        sft = ["sft", "sft_validation"] if self.sft_models() else []
        return ["problems", "validation", *sft] if self.trained() else []

    def ask_data(self, question: str, default: Any) -> Any:
        """What the source of the data says to a question that not every source answers, and not where there is none."""
        return default if self.data is None else self.data.asked(question, default)

    def preparation(self) -> Preparation:
        """The settings of `prepare_data.py`. Only a recipe with data has them."""
        assert self.data is not None
        return Preparation(source=self.data.source, limit=self.data_limit, test_limit=self.evaluation_limit)

    def benchmarks(self) -> list[str]:
        """The benchmarks whose problems are needed: those that checkpoints are compared on, and those that validate."""
        return list(dict.fromkeys([*self.evaluation.benchmarks, *self.ask_data("benchmarks", [])]))

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
    def _what_is_trained_can_be(self) -> "Recipe":
        """Training needs its sections, a model to start from, and data."""
        for model, run, _ in self.trained():
            needed = ("data", *TRAINING, *(["sft"] if model in self.sft_models() else []))
            for section in needed:
                if section not in self.model_fields_set or getattr(self, section) is None:
                    raise ValueError(
                        f"{section}: expected a section with settings of its own, found None, and runs.{run} is trained"
                    )
            if self.models[model].base is None and self.models[model].sft is None:
                raise ValueError(f"models.{model}: expected base or sft.checkpoint, for runs.{run} is trained from it")
        for table in self.tables():
            if self.data is not None and table not in self.data.rows():
                where = f"data.{self.data.source.name}.{table}"
                raise ValueError(f"{where}: expected {TABLES[table]}, which training needs, found none")
        return self

    @model_validator(mode="after")
    def _benchmarks_are_there(self) -> "Recipe":
        for benchmark, source in made_benchmarks().items():
            makes = self.data is not None and self.data.source.name == source and "test" in self.data.rows()
            if benchmark in self.benchmarks() and not makes:
                raise ValueError(
                    f"evaluation.benchmarks, data.validation: {benchmark} need data.{source}, found other data"
                )
        return self

    @model_validator(mode="after")
    def _sections_are_valid(self) -> "Recipe":
        if self.trained():
            self._check_size("schedule.batch_size", self.schedule.batch_size, "problems")
        if self.sft_models():
            self._check_size("sft.batch_size", self.sft.batch_size, "sft")
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
        if model in self.rl_models() and (run is None or self.runs[run].checkpoint is None):
            self._check_size(f"{where}.schedule.batch_size", stages.schedule.batch_size, "problems")

    def _check_size(self, where: str, rows: int, table: str) -> None:
        key, size = self.data.rows()[table] if self.data is not None else ("data", None)
        if self.data_limit is not None and (size is None or self.data_limit < size):
            key, size = "limit" if self.data_limit == self.limit else "data.limit", self.data_limit
        if size is not None and rows > size:
            raise ValueError(f"{where}: expected at most {key} ({size}), found {rows}")


class _Loader(yaml.SafeLoader):
    """YAML in which a key stands once: of two, YAML's own loader takes the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys: set[Any] = set()
        for key, _ in node.value:
            if key.value in keys:
                raise UserError(f"line {key.start_mark.line + 1}: {key.value}: stands twice")
            keys.add(str(key.value))
        return node


def read_recipe(path: str | Path) -> dict[str, Any]:
    """A recipe's file as it stands, unchecked but for its form.

    Raises UserError, in one line, if it is missing, no UTF-8, no YAML, no mapping, or has a key twice.
    """
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), _Loader)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: expected a file of UTF-8 text: {error}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: expected YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected a recipe's sections, found {json.dumps(values, default=str)}")
    return values


def read_call(
    files: Sequence[str | Path], config: Mapping[str, Any], words: Sequence[str] = ()
) -> tuple[str, bool, dict[str, Any]]:
    """What a call of the workflow says: the recipe's file, whether finished training may be redone, and its values.

    `config` is what Snakemake made of the file and of the `words` after `--config`. Raises UserError for a file that
    `read_recipe` refuses, for more files than one, which Snakemake would merge, and for words that its own calls inside
    SLURM would let a shell read.
    """
    for word in words:
        if re.search(r"[$`]", word):
            raise UserError(f"--config {word}: expected no $ and no backquote; a recipe's file may have them")
    if len(files) != 1:
        raise UserError(f"expected one file, found {', '.join(map(str, files))}; give targets after --")
    path = Path(files[0]).absolute()
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    if "redo" in read_recipe(shown):
        raise UserError(f"{shown}: redo: no such setting; it is for one call: --config redo=true")
    redo = str(config.get("redo", False)).lower()
    if redo not in ("true", "false"):
        raise UserError(f"redo: expected true or false, found {redo}")
    return shown.as_posix(), redo == "true", {name: value for name, value in config.items() if name != "redo"}


def load_recipe(values: dict[str, Any]) -> Recipe:
    """Check a recipe. Raises UserError, in one line, with the path of what is wrong."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise UserError(describe(error)) from None


def check_files(recipe: Recipe) -> None:
    """Raises UserError, in one line, if a file that the recipe names is not there (seen from the working directory).

    Of a checkpoint's folder its config is asked for, and weights; the programs that load it look at the rest.
    """
    checkpoints = list(_checkpoints(recipe))
    for where, path in [*checkpoints, *_named_files(recipe)]:
        if not path.exists():
            raise UserError(f"{where}: {path}: no such file or folder")
        if str(path).startswith("-"):
            raise UserError(f"{where}: {path}: a name that begins with - is an option to programs; rename it")
    for where, path in checkpoints:
        if not (path / "config.json").is_file() or not any(path.glob("*.safetensors")):
            raise UserError(
                f"{where}: {path}: expected a checkpoint's folder, found no config.json or no weights in it"
            )


def _checkpoints(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    """Where the recipe names the folder of a checkpoint, and the folder."""
    for name, run in recipe.runs.items():
        if isinstance(run.checkpoint, Path):
            yield f"runs.{name}.checkpoint", run.checkpoint
    if isinstance(recipe.evaluation.judge, LocalBase):
        yield "evaluation.judge.path", recipe.evaluation.judge.path
    for name, model in recipe.models.items():
        if isinstance(model.base, LocalBase):
            yield f"models.{name}.base.path", model.base.path
        if model.sft is not None and isinstance(model.sft.checkpoint, Path):
            yield f"models.{name}.sft.checkpoint", model.sft.checkpoint


def _named_files(recipe: Recipe) -> Iterator[tuple[str, Path]]:
    """Where the recipe names a file, and the file: of every section as it holds for every model and run."""
    for key, path in recipe.ask_data("inputs", {}).items():
        yield f"data.{recipe.data.source.name}.{key}", path  # type: ignore[union-attr]
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
