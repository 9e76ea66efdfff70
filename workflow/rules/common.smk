# What the rules share: the recipe, where files lie, and functions of wildcards. No rule here.
import json
import re
import shutil
import sys
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from mmr1.plumbing.environment import jobs_environments, made_here
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import digest, read_json, sha256
from mmr1.plumbing.folders import contents, digest_file
from mmr1.plumbing.makers import CALL, remember_call
from mmr1.data.settings import made_benchmarks
from mmr1.plumbing.settings import machine, numbers, taken
from mmr1.plugins import load
from mmr1.benchmarks.settings import JUDGE_KEY, PAPER_BENCHMARKS, Endpoint
from mmr1.provenance.kept_recipe import KeptRecipe, training_values
from mmr1.recipe import check_files, load_recipe, read_call
from mmr1.report import tables_index as tables
from mmr1.report.index import Index as ReportIndex


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
REPLAYED = f"{ROUND}/counterfactual"
# Conda makes the environments where it was asked for and is there. Where it is not, not even a dry run would end well;
# `make env` has made them then. Jobs inside SLURM are told what this call found out.
if not shutil.which("conda") and not workflow.remote_exec:
    workflow.deployment_settings.deployment_method = {
        method
        for method in workflow.deployment_settings.deployment_method
        if str(method) != "conda"
    }
USES_CONDA = "conda" in {
    str(method) for method in workflow.deployment_settings.deployment_method
}
# MLflow lives in the driver's environment: the one that Snakemake itself runs in, unless conda makes one for the rule.
DRIVER_PYTHON = "python" if USES_CONDA else sys.executable
# Where MLflow keeps what it is shown: a database beside the results, or a server.
TRACKING_URI = RECIPE.mlflow or f"sqlite:///{Path(R).absolute()}/mlflow.db"
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
