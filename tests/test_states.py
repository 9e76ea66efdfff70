"""A saved state is used by the job that saved it, if every byte is as it was: the rest is passed over, a line each."""

import argparse
import dataclasses
import math
import shutil
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from mmr1.grpo.distributed import Ranks
from mmr1.grpo.round import identify as identify_round
from mmr1.grpo.settings import TrainerSettings
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, write_json
from mmr1.plumbing.record import job
from mmr1.plumbing.settings import Machine
from mmr1.plumbing.states import MANIFEST, States, check_state, differences, write_manifest
from mmr1.sft.settings import SFTSettings
from mmr1.sft.train import identify

IDENTITY = {"settings": {"learning_rate": 1e-3, "betas": (0.9, 0.95)}, "seed": 0, "inputs": {"problems": "a" * 64}}


def states_in(folder: Path, identity: dict[str, Any] = IDENTITY) -> States:
    return States(folder, identity, digits=6)


def save(states: States, step: int, **facts: Any) -> Path:
    """A state of two files, one of them in a folder."""
    folder = states.path(step)
    (folder / "ranks").mkdir(parents=True)
    (folder / "weights").write_bytes(b"weights %d" % step)
    (folder / "ranks" / "0").write_bytes(b"generators %d" % step)
    states.seal(step, **facts)
    return folder


@pytest.fixture
def two(tmp_path: Path) -> States:
    """States after 1 and after 2 steps."""
    states = states_in(tmp_path / "states")
    for step in (1, 2):
        save(states, step)
    return states


def test_the_newest_state_is_taken_and_the_one_before_it_stays(two: States, capsys: pytest.CaptureFixture[str]) -> None:
    assert two.newest() == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert two.path(1).is_dir()


def test_where_nothing_was_saved_there_is_nothing(tmp_path: Path) -> None:
    assert states_in(tmp_path / "new").newest() is None


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite(folder: Path, **entries: Any) -> None:
    """Replace entries of a manifest; None takes one out."""
    changed = {**read_json(folder / MANIFEST), **entries}
    write_json(folder / MANIFEST, {name: value for name, value in changed.items() if value is not None})


DAMAGES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "a flipped bit": (lambda folder: flip(folder / "weights"), ("weights: expected sha256", "found")),
    "a flipped bit in a folder": (lambda folder: flip(folder / "ranks/0"), ("ranks/0: expected sha256",)),
    "a file cut short": (lambda folder: (folder / "weights").write_bytes(b"wei"), ("weights: expected sha256",)),
    "a file that is gone": (lambda folder: (folder / "weights").unlink(), ("weights: No such file",)),
    "no manifest": (lambda folder: (folder / MANIFEST).unlink(), (MANIFEST, "the save was cut off")),
    "an empty manifest": (lambda folder: (folder / MANIFEST).write_bytes(b""), (MANIFEST, "expected JSON")),
    "a truncated manifest": (
        lambda folder: (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes()[:100]),
        (MANIFEST, "expected JSON"),
    ),
    "a manifest of zeros": (lambda folder: (folder / MANIFEST).write_bytes(bytes(4096)), (MANIFEST, "expected JSON")),
    "a manifest of other bytes": (
        lambda folder: (folder / MANIFEST).write_bytes(bytes(range(128, 256))),
        (MANIFEST, "expected JSON"),
    ),
    "a manifest nested without end": (lambda folder: (folder / MANIFEST).write_text("[" * 10**5), ("expected JSON",)),
    "a manifest that is a list": (lambda folder: (folder / MANIFEST).write_text("[]"), (MANIFEST, "files")),
    "a manifest that is a folder": (
        lambda folder: ((folder / MANIFEST).unlink(), (folder / MANIFEST).mkdir()),
        (MANIFEST, "expected JSON"),
    ),
    "a manifest without identity": (lambda folder: rewrite(folder, identity=None), ("identity: expected",)),
    "a manifest without hashes": (lambda folder: rewrite(folder, files=None), ("files: expected",)),
    "a manifest of another step": (lambda folder: rewrite(folder, step=1), ("step: expected 2, found 1",)),
    "a file in its place": (
        lambda folder: (folder.rename(folder.with_name("elsewhere")), folder.write_bytes(b"")),
        ("the save was cut off",),
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_of_a_damaged_state_the_one_before_is_taken(
    damage: str, two: States, capsys: pytest.CaptureFixture[str]
) -> None:
    harm, facts = DAMAGES[damage]
    harm(two.path(2))
    assert two.newest() == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if f"warning: {two.path(2)}:" in line]
    assert all(fact in line for fact in facts)
    assert not two.path(2).exists()
    save(two, 2)
    assert two.newest() == 2


@pytest.mark.parametrize("name", [".nfs000000000a1b2c3d", "000001~", "000001 (copy)", "1", "notes.txt", "latest"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_state_is_named_and_left_alone(
    name: str, kind: str, two: States, capsys: pytest.CaptureFixture[str]
) -> None:
    stray = two.folder / name
    stray.mkdir() if kind == "folder" else stray.write_bytes(b"of somebody")
    assert two.newest() == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert f"{stray}: a name that no state has; ignored" in line
    two.prune(2)
    assert stray.exists()


def test_what_a_killed_save_left_is_removed(two: States, capsys: pytest.CaptureFixture[str]) -> None:
    leftover = two.folder / ".000003.k2_x9abc" / "000003"
    leftover.mkdir(parents=True)
    (leftover / "weights").write_bytes(b"hal")
    assert two.newest() == 2
    assert "left by a save or a removal that was cut off" in capsys.readouterr().err
    assert not leftover.parent.exists()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"settings": {**IDENTITY["settings"], "learning_rate": 1e-5}}, "settings.learning_rate"),
        ({"seed": 1, "inputs": {"problems": "b" * 64}}, "inputs.problems, seed"),
        ({"seed": False}, "seed"),
        ({"inputs": {}}, "inputs, inputs.problems"),
        ({"ranks": 2}, "ranks"),
    ],
)
def test_states_of_another_job_are_removed_and_the_differences_named(
    changed: dict[str, Any], named: str, two: States, capsys: pytest.CaptureFixture[str]
) -> None:
    assert states_in(two.folder, IDENTITY | changed).newest() is None
    lines = capsys.readouterr().err.splitlines()
    assert [f"{two.path(step)}: saved by a job that differed in {named}; removed" in lines[step - 1] for step in (1, 2)]
    assert not list(two.folder.iterdir())


def test_an_older_state_of_another_job_does_not_stay_as_the_one_to_fall_back_on(tmp_path: Path) -> None:
    save(states_in(tmp_path, {"seed": 1}), 1)
    save(states_in(tmp_path, {"seed": 2}), 2)
    assert states_in(tmp_path, {"seed": 2}).newest() == 2
    assert not states_in(tmp_path).path(1).exists()


def test_a_state_is_good_only_with_the_state_that_it_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = states_in(tmp_path)
    for step, needs in ((1, [1]), (2, [2]), (3, [2])):
        save(states, step, needs=needs)
    flip(states.path(2) / "weights")
    assert states.newest() == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert [str(states.path(step)) in line for step, line in zip((3, 2), lines, strict=True)] == [True, True]
    save(states, 2, needs=[])
    save(states, 3, needs=[7])
    assert states.newest() == 2
    assert f"needs {states.path(7)}, which is not there" in capsys.readouterr().err


def test_what_lies_beside_a_state_can_be_asked_for(two: States) -> None:
    def refuse_the_second(manifest: dict[str, Any]) -> None:
        if manifest["step"] == 2:
            raise UserError("its rollouts are gone")

    assert two.newest(refuse_the_second) == 1


@pytest.mark.parametrize(
    ("best", "kept"),
    [
        ([None, None, None], {2, 3}),
        ([1, 2, 3], {2, 3}),
        ([1, 1, 1], {1, 3}),
        ([1, 2, 2], {2, 3}),
        ([1, 1, 3], {1, 3}),
        ([None, 2, 2], {2, 3}),
    ],
)
def test_two_states_are_kept_that_can_be_gone_on_from(best: list[int | None], kept: set[int], tmp_path: Path) -> None:
    """`best` is the state that each of three needs. The older of the two that stay needs no other."""
    states = states_in(tmp_path)
    for step, needed in enumerate(best, 1):
        save(states, step, needs=[] if needed is None else [needed])
        states.prune(step)
    assert {int(folder.name) for folder in tmp_path.iterdir()} == kept
    flip(states.path(3) / "weights")
    assert states.newest() == min(kept)


def test_a_state_handed_on_is_checked_without_an_identity(two: States) -> None:
    assert check_state(two.path(1))["step"] == 1
    flip(two.path(1) / "ranks" / "0")
    with pytest.raises(UserError, match="ranks/0: expected sha256"):
        check_state(two.path(1))


def section(value: Any) -> BaseModel | None:
    """The settings inside a value: a section, or those of a plugin."""
    section = getattr(value, "settings", value)
    return section if isinstance(section, BaseModel) else None


def leaves(model: BaseModel, machine: bool = False, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every field that makes the numbers, or of every one of a machine, those of nested sections too."""
    for name, field in type(model).model_fields.items():
        value, here = getattr(model, name), (*place, name)
        of_machine = isinstance(model, Machine) or "machine" in (field.json_schema_extra or {})
        if (inner := section(value)) is not None:
            yield from leaves(inner, machine, here)
        elif name == "rewards":
            for key, chosen in value.items():
                yield from [] if machine else [(*here, key, "weight")]
                yield from leaves(chosen.settings, machine, (*here, key))
        elif of_machine == machine:
            yield here


def other_values(model: BaseModel, name: str) -> st.SearchStrategy[Any]:
    """Values of a field that are not the one it has, the nearest float among them."""
    value, annotation = getattr(model, name), type(model).model_fields[name].annotation
    if typing.get_origin(annotation) is typing.Literal:
        found: st.SearchStrategy[Any] = st.sampled_from(typing.get_args(annotation))
    elif isinstance(value, bool):
        found = st.just(not value)
    elif isinstance(value, str) or str in typing.get_args(annotation):
        found = st.text()
    elif isinstance(value, float):
        found = st.just(math.nextafter(value, math.inf)) | st.floats(allow_nan=False, allow_infinity=False)
    elif name == "freeze":
        found = st.sampled_from([["vision"], ["vision", "projector"]])
    elif isinstance(value, tuple):
        found = st.just((value[0], math.nextafter(value[1], 0))) | st.just(tuple(reversed(value)))
    else:
        found = st.integers(1)
    return found.filter(lambda other: other != value)


def changed(held: Any, place: Sequence[str], data: st.DataObject) -> Any:
    """Settings, plugins or a dict of them with another value in one field."""
    name, *rest = place
    if isinstance(held, BaseModel):
        value = changed(getattr(held, name), rest, data) if rest else data.draw(other_values(held, name))
        return held.model_copy(update={name: value})
    if isinstance(held, dict):
        return held | {name: changed(held[name], rest, data)}
    if name == "weight":
        return dataclasses.replace(held, weight=math.nextafter(held.weight, math.inf))
    return dataclasses.replace(held, settings=changed(held.settings, place, data))


ONE_RANK = Ranks(0, 1, typing.cast(Any, None))
SFT = SFTSettings.model_validate({})


@settings(max_examples=10)
@given(st.data())
def test_no_changed_setting_of_sft_lets_a_state_be_used(data: st.DataObject) -> None:
    mine = identify(SFT, {}, 0, ONE_RANK)
    for place in leaves(SFT):
        if place != ("deepspeed",):  # its content counts
            other = identify(changed(SFT, place, data), {}, 0, ONE_RANK)
            assert_not_used(mine, other, ".".join(("settings", *place)))


GRPO = TrainerSettings.model_validate(
    {
        "gate": {"name": "dapo", "batch_size": 4},
        "rewards": {"length": {"weight": 0.5, "limit": 10, "buffer": 4}},
        "draw": {"batch_size": 8, "sampler": "mopps"},
    }
)
GRPO_INPUTS = ("problems", "schedule", "system_prompt", "validation", "replay", "model", "reference", "state")


@pytest.fixture(scope="module")
def round_of_grpo(tmp_path_factory: pytest.TempPathFactory) -> argparse.Namespace:
    """The arguments of a round, each input a file or folder of a few bytes."""
    folder = tmp_path_factory.mktemp("round")
    for name in GRPO_INPUTS:
        if name in ("model", "reference", "state"):
            (folder / name).mkdir()
            (folder / name / "weights").write_bytes(name.encode())
        else:
            (folder / name).write_bytes(name.encode())
    write_manifest(folder / "state", {"step": 4})
    write_json(folder / "model" / "config.json", {"model_type": "qwen2_5_vl"})
    paths = {name: folder / name for name in GRPO_INPUTS}
    return argparse.Namespace(
        **paths, earlier_rewards=[folder / "problems"], seed=0, first_step=4, steps=2, threads=1, validate_every=1
    )


@settings(max_examples=5)
@given(data=st.data())
def test_no_changed_setting_of_grpo_lets_a_state_be_used(
    data: st.DataObject, round_of_grpo: argparse.Namespace
) -> None:
    """Among them those of its plugins."""
    mine = identify_round(round_of_grpo, GRPO, {}, ONE_RANK)
    for place in leaves(GRPO):
        if place != ("deepspeed",):  # its content counts
            other = identify_round(round_of_grpo, changed(GRPO, place, data), {}, ONE_RANK)
            assert_not_used(mine, other, ".".join(("settings", *place)))


@settings(max_examples=10)
@given(data=st.data())
def test_what_only_fits_a_machine_does_not_make_another_job(
    data: st.DataObject, round_of_grpo: argparse.Namespace
) -> None:
    """How often a state is saved is one of these."""
    places = list(leaves(GRPO, machine=True))
    assert ("machine", "save_every") in places
    saved = identify_round(round_of_grpo, GRPO, {}, ONE_RANK)
    for place in places:
        assert not differences(saved, identify_round(round_of_grpo, changed(GRPO, place, data), {}, ONE_RANK))


def test_another_plugin_makes_another_job(round_of_grpo: argparse.Namespace) -> None:
    one, other = (
        identify_round(round_of_grpo, TrainerSettings.model_validate({"engine": name}), {}, ONE_RANK)
        for name in ("vllm", "transformers")
    )
    assert {"settings.engine.name", "code"} <= set(differences(one, other))


@given(
    name=st.sampled_from([*GRPO_INPUTS, "seed", "first_step", "steps", "threads", "validate_every", "division"]),
    place=st.integers(0),
    change=st.integers(1, 255),
)
def test_no_other_seed_or_changed_byte_of_what_is_read_lets_a_state_of_grpo_be_used(
    name: str, place: int, change: int, round_of_grpo: argparse.Namespace
) -> None:
    mine = identify_round(round_of_grpo, GRPO, {"stage": 2}, ONE_RANK)
    other = argparse.Namespace(**vars(round_of_grpo))
    division = {"stage": 3 if name == "division" else 2}
    with TemporaryDirectory() as temporary:
        if name in GRPO_INPUTS:
            copied = Path(temporary, name)
            original = getattr(other, name)
            shutil.copytree(original, copied) if original.is_dir() else shutil.copy2(original, copied)
            file = copied / "weights" if copied.is_dir() else copied
            content = bytearray(file.read_bytes())
            content[place % len(content)] ^= change
            file.write_bytes(content)
            if name == "state":  # known by the hashes in its manifest, which are checked before it is loaded
                write_manifest(copied, {"step": 4})
            setattr(other, name, copied)
        elif name != "division":
            setattr(other, name, getattr(other, name) + change)
        identity = identify_round(other, GRPO, division, ONE_RANK)
    named = {"division": "deepspeed.stage", "first_step": "steps"}.get(name, name)
    assert_not_used(mine, identity, named)


@given(one=st.lists(st.integers(0, 1), max_size=4), other=st.lists(st.integers(0, 1), max_size=4))
def test_no_other_earlier_rewards_let_a_state_of_grpo_be_used(
    one: list[int], other: list[int], round_of_grpo: argparse.Namespace
) -> None:
    """An observing sampler learns from them, in their order."""
    files = [round_of_grpo.problems, round_of_grpo.schedule]
    mine, another = (
        identify_round(
            argparse.Namespace(**{**vars(round_of_grpo), "earlier_rewards": [files[number] for number in numbers]}),
            GRPO,
            {},
            ONE_RANK,
        )
        for numbers in (one, other)
    )
    assert differences(mine, another) == ([] if one == other else ["earlier_rewards"])


@given(st.integers(0, 2**63 - 1), st.integers(1, 64), st.integers(1, 64))
def test_no_other_seed_threads_or_ranks_let_a_state_of_sft_be_used(seed: int, threads: int, ranks: int) -> None:
    mine = identify(SFT, {}, 0, ONE_RANK)
    other = {**identify(SFT, {}, seed, Ranks(0, ranks, ONE_RANK.device)), "threads": threads}
    wanted = {"seed": (0, seed), "threads": (mine["threads"], threads), "ranks": (1, ranks)}
    names = sorted(name for name, (one, another) in wanted.items() if one != another)
    assert differences(mine, other) == names


@given(
    st.sampled_from(["model", "conversations"]),
    st.binary(min_size=1, max_size=100),
    st.integers(0),
    st.integers(1, 255),
)
def test_no_changed_byte_of_what_is_read_lets_a_state_of_sft_be_used(
    name: str, content: bytes, place: int, change: int
) -> None:
    """Through the hashes that a job takes for its record."""
    with TemporaryDirectory() as temporary:
        model, conversations = Path(temporary, "model"), Path(temporary, "conversations.parquet")
        model.mkdir()
        for file in (model / "weights", model / "config", conversations):
            file.write_bytes(content)
        inputs = {"model": model, "conversations": conversations}
        before = read_by_a_job(inputs)
        moved = {"model": model.rename(Path(temporary, "moved")), "conversations": conversations}
        assert read_by_a_job(moved) == before
        file = moved["model"] / "weights" if name == "model" else conversations
        altered = bytearray(content)
        altered[place % len(content)] ^= change
        file.write_bytes(altered)
        mine, other = (identify(SFT, digests, 0, ONE_RANK) for digests in (before, read_by_a_job(moved)))
        assert_not_used(mine, other, f"inputs.{name}")


def read_by_a_job(inputs: dict[str, Path]) -> dict[str, str]:
    with job(argparse.Namespace(record=None, attempt=None), inputs=inputs, outputs={}) as work:
        return work.inputs


def test_the_content_of_a_deepspeed_configuration_counts_and_its_place_does_not(tmp_path: Path) -> None:
    for name, stage in (("one", 2), ("same", 2), ("other", 3)):
        write_json(tmp_path / f"{name}.json", {"zero_optimization": {"stage": stage}})
    one, same, other = (
        identify(SFT.model_copy(update={"deepspeed": tmp_path / f"{name}.json"}), {}, 0, ONE_RANK)
        for name in ("one", "same", "other")
    )
    assert not differences(one, same)
    assert_not_used(one, other, "deepspeed.zero_optimization.stage")


def assert_not_used(mine: dict[str, Any], other: dict[str, Any], named: str) -> None:
    """A state saved under one identity is used by its own job only, and what differs is named."""
    assert differences(mine, other) == [named]
    with TemporaryDirectory() as folder:
        save(states_in(Path(folder), other), 1)
        assert states_in(Path(folder), other).newest() == 1
        assert states_in(Path(folder), mine).newest() is None
