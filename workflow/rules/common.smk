# What the rules share: the recipe, where files lie, and functions of wildcards. No rule here.
import json
import re
import sys
from contextlib import suppress
from functools import cache, partial, wraps
from pathlib import Path
from string import Formatter

from snakemake.io import apply_wildcards

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import digest, read_json, sha256
from mmr1.plumbing.folders import contents, digest_file
from mmr1.plumbing.makers import remember_call
from mmr1.plumbing.code import code_digest, code_files
from mmr1.benchmarks.settings import JUDGE_KEY, Endpoint, Verifying
from mmr1.data.settings import made_benchmarks
from mmr1.grpo.settings import TrainerSettings
from mmr1.plumbing.settings import machine, numbers, plugin_files, taken
from mmr1.plugins import load
from mmr1.benchmarks.settings import PAPER_BENCHMARKS
from mmr1.provenance.kept_recipe import KeptRecipe, training_values
from mmr1.recipe import check_files, load_recipe, read_call
from mmr1.report import index as report, tables_index as tables
from mmr1.vas.settings import DrawSettings, ScoreMachine, ScoreSettings, RefreshSettings
from mmr1.rollout.settings import AskSettings, GenerateSettings


def refuse(message):
    """End Snakemake with one line."""
    print(f"recipe: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(2)


remember_call(sys.argv[1:])
try:
    words = workflow.config_settings.config_args or []
    RECIPE_FILE, REDO, values = read_call(workflow.configfiles, config, words)
    RECIPE = load_recipe(values)
    check_files(RECIPE)
    R = f"results/{RECIPE.folder}"
    KEPT_RECIPE = KeptRecipe(Path(R))
    KEPT_RECIPE.check_file(RECIPE_FILE, RECIPE.name)
except UserError as error:
    refuse(error)


def environment(name):
    """A rule's environment. The checkout's path may have braces, which Snakemake takes for wildcards here."""
    path = Path(workflow.basedir) / f"envs/{name}.yaml"
    return str(path).replace("{", "{{").replace("}", "}}")


CPU, DRIVER, STACK = map(environment, ("cpu", "driver", RECIPE.environment))
ROUND = f"{R}/{{model}}/{{run}}/seed{{seed}}/round{{r}}"
# MLflow lives in the driver's environment: the one that Snakemake itself runs in, unless conda makes one for the rule.
USES_CONDA = "conda" in {
    str(method) for method in workflow.deployment_settings.deployment_method
}
DRIVER_PYTHON = "python" if USES_CONDA else sys.executable
# Where MLflow keeps what it is shown: a database beside the results, or a server.
TRACKING_URI = RECIPE.mlflow or f"sqlite:///{Path(R).absolute()}/mlflow.db"
ARTIFACTS = None if RECIPE.mlflow else f"{R}/mlflow-artifacts"
INITIAL = f"{R}/{{model}}/initial/{{key}}/seed{{seed}}"
EVAL = f"{R}/{{model}}/eval/{{subject}}/{{benchmark}}"


wildcard_constraints:
    model="|".join(RECIPE.models),
    run="|".join(RECIPE.runs),
    seed=r"\d+",
    r=r"\d+",
    shard=r"\d+",
    key=r"[0-9a-f]{8}",


resolved = cache(RECIPE.resolve)
rounds = cache(RECIPE.rounds)

# The recipe's sections as they hold for each model and run, and where a rule has neither.
EVERYWHERE = [
    RECIPE,
    *(resolved(model, run) for model in RECIPE.models for run in (None, *RECIPE.runs)),
]


def from_sections(value):
    """What a function of the recipe's sections gives: as a function of wildcards, or as it is where it is the same for
    every model and run (Snakemake takes its time over functions, and there are thousands of jobs).
    """
    first, *others = [value(sections) for sections in EVERYWHERE]
    return (
        first
        if all(other == first for other in others)
        else lambda wildcards: value(stages(wildcards))
    )


def leaf(path):
    """A function of sections that gives one leaf of the recipe, such as vas.mix."""
    names = path.split(".")

    def value(sections):
        node = sections
        for name in names:
            node = getattr(node, name)
        return node.as_posix() if isinstance(node, Path) else node

    return value


def setting(path):
    """One leaf of the recipe, such as vas.mix."""
    return from_sections(leaf(path))


def with_deepspeed(section):
    """A trainer's settings with the content of its DeepSpeed file in place of the path: content is what counts."""
    if section.deepspeed is None or isinstance(section.deepspeed, dict):
        return section
    return section.model_copy(update={"deepspeed": read_json(section.deepspeed)})


def score_settings(sections):
    """How scores are made, by as many workers as the job has threads where the recipe does not say."""
    workers = sections.vas.machine.workers or sections.stage_resources("score").threads
    return taken(ScoreSettings, sections.vas, machine=ScoreMachine(workers=workers))


def queue_factor(sections):
    """How many batches a step's schedule lists: more than one where the gate may pass groups over."""
    gate = sections.grpo.gate
    return gate.module.batches(gate.settings)


def generate_settings(sections):
    """How a problem's rollouts for its score are made."""
    return sampler_settings(
        sections,
        n=sections.vas.samples,
        temperature=sections.vas.temperature,
        top_p=sections.vas.top_p,
        max_tokens=sections.rollout.max_tokens,
    )


def evaluation_responses(sections):
    """Which responses of a checkpoint are asked for in an evaluation."""
    wanted = {"n", "temperature", "top_p", "max_tokens"}
    return sections.evaluation.model_dump(include=wanted)


def prediction_settings(sections):
    """How the predictions of an evaluation are made."""
    return sampler_settings(sections, **evaluation_responses(sections))


def sampler_settings(sections, **responses):
    """The settings of `generate.py`: the recipe's engine and bounds, and the responses that are wanted of it."""
    position = sections.prompts.position
    return taken(
        GenerateSettings, sections.rollout, prompt_position=position, **responses
    )


def verifying_settings(sections):
    """How rules decide about responses, by as many workers as the job has threads unless the recipe says."""
    threads = sections.stage_resources("score").threads
    machine = {"workers": sections.evaluation.machine.workers or threads}
    return taken(Verifying, sections.evaluation, machine=machine)


def ask_settings(sections):
    """How an endpoint is asked in an evaluation."""
    return AskSettings(
        prompt_position=sections.prompts.position, **evaluation_responses(sections)
    )


def judge_settings(sections):
    """How a judge that runs here makes its replies: greedily, one for each question."""
    judge = sections.evaluation.judge
    engine = judge.engine or RECIPE.rollout.engine
    return taken(GenerateSettings, judge, engine=engine, temperature=0)


def ask_judge_settings(sections):
    """How a served judge is asked for the same."""
    retries = {"retries": sections.evaluation.machine.judge_retries}
    return taken(AskSettings, sections.evaluation.judge, temperature=0, machine=retries)


def draw_settings(sections):
    """How the problems of a step are chosen."""
    return taken(
        DrawSettings,
        sections.vas,
        sections.schedule,
        queue_factor=queue_factor(sections),
    )


def observes(sections):
    """Whether the problems of a step are chosen while training, so that no schedule is drawn before the round."""
    return sections.schedule.sampler.module.Sampler.observes


def needs_scores(sections):
    """Whether problems are drawn by the scores of a round."""
    return sections.schedule.sampler.module.Sampler.needs_scores(
        draw_settings(sections)
    )


def trainer_settings(sections):
    """How a round is trained, with the sampler that is asked on the way, if it is."""
    draw = draw_settings(sections) if observes(sections) else None
    return taken(TrainerSettings, with_deepspeed(sections.grpo), draw=draw)


# What each program reads of a recipe's sections, as the model that it declares.
SETTINGS = {
    "prepare_data": lambda sections: RECIPE.preparation(),
    "score_vps": score_settings,
    "draw_schedule": draw_settings,
    "select_problems": lambda sections: taken(RefreshSettings, sections.vas),
    "train_sft": lambda sections: with_deepspeed(sections.sft),
    "train_grpo": trainer_settings,
    "generate": generate_settings,
    "generate_predictions": prediction_settings,
    "ask_endpoint": ask_settings,
    "select_undecided": verifying_settings,
    "judge": judge_settings,
    "ask_judge": ask_judge_settings,
    "score_benchmark": verifying_settings,
}


def as_json(values):
    """Settings for a program: JSON on one line, its keys in order."""
    return json.dumps(values, sort_keys=True)


# Modules that compute with a model's family: they encode its prompts, or make it.
WITH_A_FAMILY = {"mmr1/data/prompts.py", "mmr1/models/tiny.py"}


@cache
def has_a_family(name):
    """Whether the file of a model's family is a part of what a program computes with."""
    return not WITH_A_FAMILY.isdisjoint(code_files(name))


def program(name, of=None, plugins=None, family=lambda sections: sections.family):
    """What a rule's params say of its program: a digest of what computes in it, and the settings that make its numbers.

    `of` is the key of `SETTINGS` where a program has several uses. `plugins` is a function of wildcards that gives the
    files of further plugins, which the wildcards name; `family` gives the family of the model that it loads, if any.
    """
    settings = SETTINGS.get(of or name)

    def chosen(sections):
        files = [] if settings is None else plugin_files(settings(sections))
        return [*files, family(sections).file] if has_a_family(name) else files

    if plugins is None:
        code = from_sections(lambda sections: code_digest(name, chosen(sections)))
    else:
        code = lambda wildcards: code_digest(
            name, [*chosen(stages(wildcards)), *plugins(wildcards)]
        )
    if settings is None:
        return {"code": code}
    return {
        "code": code,
        "settings": from_sections(
            lambda sections: as_json(numbers(settings(sections)))
        ),
    }


def machine_of(name):
    """The settings that only fit a machine: a resource, so that they make nothing due."""
    settings = SETTINGS[name]
    return {
        "machine": from_sections(lambda sections: as_json(machine(settings(sections))))
    }


# The one value that is no word of its own: words of ours around numbers of the recipe (`launcher`).
UNQUOTED = {"resources.launcher"}


def quoted(template):
    """A command in which the shell takes every value for words as they are: `{params.hub}` becomes `{params.hub:q}`.

    A list becomes a word for each of its values. Braces for the shell itself are doubled, as everywhere in Snakemake.
    """
    text = ""
    for literal, field, _, _ in Formatter().parse(template):
        text += literal.replace("{", "{{").replace("}", "}}")
        if field is not None:
            text += f"{{{field}}}" if field in UNQUOTED else f"{{{field}:q}}"
    return text


# What every command ends with: its settings, its record, its start marker, its log. None of it changes a result.
LIMITED = f" --limited {RECIPE.limited}" if RECIPE.limited else ""
ENDING = quoted(
    f"{LIMITED} --record {{output.record}} --attempt {{log.attempt}} > {{log.text}} 2>&1"
)
SETTINGS_ENDING = quoted(" --settings {params.settings} --machine {resources.machine}")
# An index grows with the recipe, and a word of a command may not: its program reads it as its standard input (`-`).
INDEX_ENDING = quoted(" <<< {params.settings}")


def command(name, words, launcher="python"):
    """A rule's shell command: its program with its own words, then its settings, its record, its start marker, its log.

    Every value in it is quoted. `{params.settings}` of a program that is told `--index -` is its standard input.
    """
    settings = SETTINGS_ENDING if name in SETTINGS else ""
    index = INDEX_ENDING if "--index - " in words else ""
    return f"{quoted(f'{launcher} scripts/{name}.py {words}')}{settings}{ENDING}{index}"


def complete(rules):
    """Give all rules their logs and an environment, and have their params say what jobs compute.

    That is the words of a command, and named values: Snakemake compares the values of params as a set, where a value
    that takes the place of an equal one would not be seen. A command that lets the shell read a value is refused:
    `command` quotes all of them.
    """
    for one in rules:
        if one.shellcmd is None:
            continue
        one.conda_env = one.conda_env or CPU
        if one.shellcmd != quoted(one.shellcmd):
            raise ValueError(f"{one.name}: found a command that `command` did not make")
        words = one.shellcmd.removesuffix(INDEX_ENDING).removesuffix(ENDING)
        words = words.removesuffix(SETTINGS_ENDING).split()
        one.log_modifier = one.output_modifier
        one.set_log(**logs_of(str(one.output.record)))
        one.set_params(command=digest(words))
        for name, (position, _) in list(one.params._get_names()):
            one.params[position] = named(name, one.params[position])
            one.params._set_name(name, position)


class Named(str):
    """A param's text, which its name enters where Snakemake compares params."""

    def __new__(cls, name, value):
        text = super().__new__(cls, value)
        text.name = name
        return text

    def __repr__(self):
        return f"{self.name}={self!s}"


class NamedWords(list):
    """A param of several words, which its name enters where Snakemake compares params."""

    def __init__(self, name, words):
        super().__init__(words)
        self.name = name

    def __repr__(self):
        return f"{self.name}={list(self)}"


def named(name, value):
    """A param that has its name in it: as a function, for Snakemake makes plain strings of others.

    Wildcards stand in paths under the results; in other texts a brace is a brace.
    """

    def with_name(value):
        return (NamedWords if isinstance(value, list) else Named)(name, value)

    if callable(value):
        return wraps(value)(lambda *args, **more: with_name(value(*args, **more)))
    if isinstance(value, str) and value.startswith(f"{R}/"):
        return lambda wildcards: with_name(apply_wildcards(value, wildcards))
    return lambda wildcards: with_name(value)


def folder_output(name, path, mark=lambda folder: folder):
    """A folder that a rule makes, and the file that says what it holds, which its program writes beside it."""
    return {
        name: mark(directory(path)),
        f"{name}_holds": digest_file(path).as_posix(),
    }


def input_path(path):
    """A path as Snakemake takes it for an input: a link to a person's own whose name it would not take as it is.

    Parts such as {x} and <x> are wildcards to it, in inputs without a way to say otherwise, and what it hands to jobs in
    SLURM stands between double quotes. Under the results all names are ours.
    """
    path = Path(path)
    if path.is_relative_to(R) or re.fullmatch(r"[\w ./@,+=~:%-]+", str(path)):
        return path.as_posix()
    link = Path(f".snakemake/inputs/{digest(str(path))[:12]}")
    link.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        link.symlink_to(path if path.is_absolute() else Path("../..") / path)
    return link.as_posix()


def input_files(path):
    """The files by which Snakemake knows what a person's file or folder holds, or a folder that a job makes."""
    return [input_path(file) for file in contents(path, R)]


def folder_input(name, path):
    """A folder that a rule reads. What it holds makes a job due, and its time never does."""
    if not callable(path):
        return {name: ancient(input_path(path)), f"{name}_holds": input_files(path)}

    def folder(wildcards):
        return input_path(path(wildcards)) if path(wildcards) else []

    def holds(wildcards):
        return input_files(path(wildcards)) if path(wildcards) else []

    return {name: ancient(folder), f"{name}_holds": holds}


def any_of(names):
    """A wildcard's constraint: one of these names, or nothing at all where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def optional(flag, value):
    """The words of a command-line option with its value or values: none where it has no value."""
    values = value if isinstance(value, list) else [value]
    return [] if value in (None, "", []) else [flag, *map(str, values)]


def system_prompt(purpose):
    """A function of sections that gives the file of a system prompt, if there is one."""
    if purpose == "evaluation" and RECIPE.evaluation.official_prompt:
        return lambda sections: None
    return leaf(f"prompts.{purpose}")


def prompt(purpose):
    """The option for a system prompt, if the recipe has one."""
    path = system_prompt(purpose)
    return from_sections(lambda sections: optional("--system-prompt", path(sections)))


def prompt_file(purpose):
    """The system prompt's file, so that a change of it is seen."""
    path = system_prompt(purpose)
    return from_sections(
        lambda sections: input_path(path(sections)) if path(sections) else []
    )


def run_record(rule, name):
    """Where a rule writes the record of one job."""
    return f"{R}/records/{rule}/{name}.json"


def logs_of(record):
    """A job's log, and the marker that says whether it is running, finished or failed: named as its record is."""
    name = record.removeprefix(f"{R}/records/").removesuffix(".json")
    return {
        "text": f"{R}/logs/{name}.log",
        "attempt": f"{R}/logs/{name}.attempt.json",
    }


def folder_of_output(wildcards, output):
    """The folder that a rule's first output lies in."""
    return str(Path(output[0]).parent)


def stages(wildcards):
    """The recipe's sections for the wildcards' model and run, where there are any."""
    if not hasattr(wildcards, "model"):
        return RECIPE
    if hasattr(wildcards, "r") and int(wildcards.r) >= rounds(
        wildcards.model, wildcards.run
    ):
        count = rounds(wildcards.model, wildcards.run)
        refuse(f"{wildcards.run} has {count} rounds, from round0; found {wildcards.r}")
    if hasattr(wildcards, "key"):
        return resolved(wildcards.model, INITIAL_RUNS[wildcards.model, wildcards.key])
    return resolved(wildcards.model, getattr(wildcards, "run", None))
