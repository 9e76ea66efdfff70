"""Ideas that a recipe names: each is one file that says what it is, imports without torch, and has an example."""

import argparse
import subprocess
from pathlib import Path

import pytest
import yaml
from pydantic import Field, ValidationError

from mmr1 import plugins
from mmr1.plumbing.code import code_digest, computing_files
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.program import add_settings_arguments, settings_of
from mmr1.plumbing.settings import Machine, Section, as_before, machine, merged, numbers, plugin_files
from mmr1.recipe import load_recipe

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "scripts/mmr1"

# A folder of members is known by what its files say of themselves.
FOLDERS = sorted(
    {
        file.parent.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if "\nEXAMPLE = " in file.read_text()
    }
)
MEMBERS = [(folder, name) for folder in FOLDERS for name in plugins.names(folder)]


def in_words(member: tuple[str, str]) -> str:
    return "/".join(member)


@pytest.mark.parametrize("member", MEMBERS, ids=in_words)
def test_a_member_says_what_it_is(member: tuple[str, str]) -> None:
    module = plugins.load(*member)
    assert module.__doc__
    assert module.TITLE
    assert issubclass(plugins.settings_class(*member), Section)


@pytest.mark.parametrize("member", MEMBERS, ids=in_words)
def test_its_example_is_a_recipe_that_names_it(member: tuple[str, str]) -> None:
    """A few lines beside the digits recipe are a whole recipe again."""
    folder, name = member
    recipe = yaml.safe_load((ROOT / "config/digits.yaml").read_text())
    example = yaml.safe_load(plugins.load(folder, name).EXAMPLE)
    assert name in yaml.safe_dump(example)
    if "data" in example:
        del recipe["data"]  # one source takes the place of another
    load_recipe(merged(recipe, example))


def test_members_import_where_the_recipe_is_checked() -> None:
    """The driver's environment has no torch, no transformers and no numba."""
    lines = [f"plugins.load({folder!r}, {name!r})" for folder, name in MEMBERS]
    program = "\n".join(["import sys", "sys.path.insert(0, 'scripts')", "from mmr1 import plugins", *lines])
    done = subprocess.run(
        [ROOT / ".envs/driver/bin/python", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_told_with_those_there_are() -> None:
    with pytest.raises(UserError, match=r"rollout/engines: expected one of transformers, vllm, found 'sglang'"):
        plugins.load("rollout/engines", "sglang")


class Few(Machine):
    workers: int = 4


class Example(Section):
    engine: plugins.choice("rollout/engines") = Field("transformers", validate_default=True)  # type: ignore[valid-type]
    steps: int = Field(3, ge=1)
    later: str = as_before("off")
    machine: Few = Field(default_factory=Few)


def test_a_name_alone_has_the_members_defaults() -> None:
    assert Example(engine="vllm").engine.settings == Example(engine={"name": "vllm"}).engine.settings
    assert Example().engine.name == "transformers"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("sglang", "expected one of transformers, vllm (alone, or as `name` of a section), found 'sglang'"),
        ({"batch_size": 3}, "expected one of transformers, vllm"),
        ({"name": "vllm", "max_num_seqs": 0}, "max_num_seqs: expected at least 1, found 0"),
        ({"name": "vllm", "batch_size": 64}, "batch_size: expected max_num_seqs in its place: 64"),
        ({"name": "transformers", "tensor_parallel": 2}, "tensor_parallel: no such setting"),
    ],
)
def test_a_wrong_choice_is_one_line(value: object, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Example(engine=value)
    assert message in str(caught.value)


def test_numbers_leave_out_machines_and_keys_as_before() -> None:
    """What enters digests: neither a worker more nor a new key at its declared default changes it."""
    assert numbers(Example()) == {"engine": {"name": "transformers", "batch_size": 512}, "steps": 3}
    assert numbers(Example(later="on"))["later"] == "on"
    used = Example(engine={"name": "vllm", "machine": {"gpu_memory_utilization": 0.5}}, machine={"workers": 9})
    assert "machine" not in numbers(used)["engine"]
    assert machine(used) == {
        "engine": {"machine": {"gpu_memory_utilization": 0.5, "sleep_mode": True}},
        "machine": {"workers": 9},
    }


def test_a_default_that_changes_later_is_a_change() -> None:
    class Changed(Section):
        later: str = as_before("off", default="on")

    assert numbers(Changed()) == {"later": "on"}
    assert numbers(Changed(later="off")) == {}


def test_the_code_digest_follows_the_member_that_was_named() -> None:
    named = plugin_files(Example(engine="vllm"))
    assert named == ["mmr1/rollout/engines/vllm.py"]
    files = computing_files("generate", named)
    assert "mmr1/rollout/vllm_engine.py" in files
    assert "mmr1/rollout/transformers_engine.py" not in files
    assert code_digest("generate", named) != code_digest("generate", plugin_files(Example()))


def test_the_code_digest_does_not_follow_imports_for_type_checkers() -> None:
    """Rewards name the type of a problem; scores judge answers, and read none."""
    assert "mmr1/rewards/accuracy.py" in computing_files("score_vps")
    assert "mmr1/data/problems.py" not in computing_files("score_vps")


def test_settings_come_from_json_and_flags_and_the_flags_win(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    add_settings_arguments(parser, Example)
    file = tmp_path / "settings.json"
    file.write_text('{"steps": 5, "later": "on"}')
    words = ["--settings", str(file), "--machine", '{"machine": {"workers": 2}}', "--steps", "7"]
    read = settings_of(parser.parse_args(words), Example)
    assert (read.steps, read.later, read.machine.workers, read.engine.name) == (
        7,
        "on",
        2,
        "transformers",
    )
    engine = settings_of(parser.parse_args(["--engine", "{name: vllm, max_num_seqs: 9}"]), Example).engine
    assert (engine.name, engine.settings.max_num_seqs) == ("vllm", 9)
    file.write_text('{"step": 5}')
    with pytest.raises(UserError, match=rf"{file}: step: no such setting"):
        settings_of(parser.parse_args(["--settings", str(file)]), Example)
