# What a rule's params and command are made of: settings, digests of code, quoted words. No rule here.
import shlex
from functools import wraps
from string import Formatter

from snakemake.io import apply_wildcards

from mmr1.plumbing.code import code_digest, code_files
from mmr1.plumbing.live import has_server
from mmr1.plumbing.settings import plugin_files


def as_json(values):
    """Settings for a program: JSON on one line, its keys in order."""
    return json.dumps(values, sort_keys=True)


# Modules that compute with a model's family: they encode its prompts, or make it.
WITH_A_FAMILY = {"mmr1/data/prompts.py", "mmr1/models/tiny.py"}


@cache
def has_a_family(name):
    """Whether the file of a model's family is a part of what a program computes with."""
    return not WITH_A_FAMILY.isdisjoint(code_files(name))


@cache
def code(name, *plugins):
    """The digest of what computes in a program and its plugins: every model and run asks, and most have the same."""
    return code_digest(name, plugins)


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
        digest_of = from_sections(lambda sections: code(name, *chosen(sections)))
    else:
        digest_of = lambda wildcards: code(
            name, *chosen(stages(wildcards)), *plugins(wildcards)
        )
    if settings is None:
        return {"code": digest_of}
    return {
        "code": digest_of,
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


# The values that are no words of their own: words of ours around numbers of the recipe (`launcher`, `on_own_gpus`).
UNQUOTED = {"resources.launcher", "resources.starter"}


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
# A server of MLflow's is shown the steps of trainings by their own jobs.
LIVE = f" --live {shlex.quote(RECIPE.mlflow)}" if has_server(RECIPE.mlflow) else ""
ENDING = quoted(
    f"{LIMITED}{LIVE} --record {{output.record}} --attempt {{log.attempt}} > {{log.text}} 2>&1"
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
        if one.shellcmd is None or not one.output:
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
        if not USES_CONDA:
            one.shellcmd = own_python(Path(one.conda_env).stem) + one.shellcmd


@cache
def own_python(name):
    """The words before a command that have it run in an environment that `make env` made; none where it made none.

    They are no part of what is computed: a job compares its packages with the lock wherever they lie.
    """
    made = made_here(name, Path(workflow.basedir))
    return f'PATH="$PWD/.envs/{name}/bin:$PATH" ' if made else ""


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
