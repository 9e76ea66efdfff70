"""Which outputs two commits share, on small made-up results folders."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mmr1.plumbing.errors import UserError
from project import ROOT


@pytest.fixture(scope="module")
def compare_commits() -> ModuleType:
    path = ROOT / "performance/compare_commits.py"
    spec = importlib.util.spec_from_file_location("compare_commits", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def results(tmp_path: Path) -> Callable[[str], Path]:
    """Make a results folder of a checkpoint, a table, two JSON files and what no two runs share."""

    def make(name: str) -> Path:
        root = tmp_path / name
        for folder in ("7b/vas/checkpoint", "7b/eval", "records/train_grpo"):
            (root / folder).mkdir(parents=True)
        (root / "7b/vas/checkpoint/model.safetensors").write_bytes(bytes(range(64)))
        (root / "7b/vas/checkpoint/.snakemake_timestamp").write_text(name)
        pq.write_table(TABLE, root / "7b/vas/rollouts.parquet")
        (root / "7b/vas/trainer_state").mkdir()
        torch.save(STATE, root / "7b/vas/trainer_state/optimizer.pt")
        (root / "7b/vas/trainer_state/manifest.json").write_text(json.dumps({"job": name}))
        (root / "7b/vas/metrics.jsonl").write_text('{"step": 0, "reward": 0.5}\n')
        (root / "7b/vas/timings.jsonl").write_text(json.dumps({"seconds": name}) + "\n")
        (root / "7b/eval/scores.json").write_text('{"n": 8, "accuracy": 0.25}')
        (root / "records/train_grpo/7b.json").write_text(json.dumps({"host": name}))
        (root / "report.html").write_text(PAGE.format(accuracy="25.0", seconds=name))
        return root

    return make


TABLE = pa.table({"problem_id": ["a", "b"], "tokens": [[1, 2], None], "logprob": [-0.5, float("nan")]})
STATE = {"step": 4, "ranks": [{"mean": torch.tensor([1.0, -0.0]), "steps": torch.tensor(4)}]}
PAGE = '<p>{accuracy}</p>\n<section id="cost">\n{seconds}</section>\n<footer id="provenance">{seconds}</footer>'
OUTPUTS = [
    "7b/eval/scores.json",
    "7b/vas/checkpoint/model.safetensors",
    "7b/vas/metrics.jsonl",
    "7b/vas/rollouts.parquet",
    "7b/vas/trainer_state/optimizer.pt",
    "report.html",
]


@pytest.fixture
def compared(compare_commits: ModuleType, results: Callable[[str], Path]) -> Callable:
    """Make two results folders, change the new one, and compare them."""

    def compare(change: Callable[[Path], object], renamed: dict[str, str] | None = None) -> dict[str, list[str]]:
        old, new = results("old"), results("new")
        change(new)
        contents = [compare_commits.contents_under(folder) for folder in (old, new)]
        comparison = compare_commits.compare(*contents, renamed or {})
        kinds = compare_commits.kinds(comparison)
        kinds["keeps"] = comparison.keeps_results
        return {kind: found for kind, found in kinds.items() if found}

    return compare


def less(path: str) -> list[str]:
    return [output for output in OUTPUTS if output != path]


def test_records_times_and_what_the_report_says_of_them_are_not_compared(compared: Callable) -> None:
    assert compared(lambda new: None) == {"same": OUTPUTS, "keeps": True}


def test_one_flipped_bit_of_a_checkpoint_differs(compared: Callable) -> None:
    path = "7b/vas/checkpoint/model.safetensors"

    def flip(new: Path) -> None:
        weights = bytearray((new / path).read_bytes())
        weights[63] ^= 1
        (new / path).write_bytes(weights)

    assert compared(flip) == {"same": less(path), "differ": [path]}


def test_a_number_in_the_report_differs(compared: Callable) -> None:
    page = PAGE.format(accuracy="25.1", seconds="new")
    assert compared(lambda new: (new / "report.html").write_text(page)) == {
        "same": less("report.html"),
        "differ": ["report.html"],
    }


def test_a_missing_file_is_listed_and_counts_as_a_difference(compared: Callable) -> None:
    path = "7b/eval/scores.json"
    assert compared(lambda new: (new / path).unlink()) == {"same": less(path), "only old": [path]}


def test_an_added_file_is_listed_and_does_no_harm(compared: Callable) -> None:
    added = compared(lambda new: (new / "7b/vas/history.json").write_text("{}"))
    assert added == {"same": OUTPUTS, "only new": ["7b/vas/history.json"], "keeps": True}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("7b/eval/scores.json", '{\n  "accuracy": 0.25,\n  "n": 8\n}\n'),
        ("7b/vas/metrics.jsonl", '{"reward":5e-1,"step":0}\n'),
    ],
)
def test_json_in_another_order_and_layout_has_the_same_values(compared: Callable, path: str, text: str) -> None:
    result = compared(lambda new: (new / path).write_text(text))
    assert result == {"same": less(path), "same values": [path], "keeps": True}


def test_a_table_in_other_row_groups_with_other_metadata_has_the_same_values(compared: Callable) -> None:
    path = "7b/vas/rollouts.parquet"
    table = TABLE.replace_schema_metadata({"made": "later"})
    result = compared(lambda new: pq.write_table(table, new / path, row_group_size=1, compression="none"))
    assert result == {"same": less(path), "same values": [path], "keeps": True}


@pytest.mark.parametrize(
    "table",
    [
        TABLE.set_column(2, "logprob", pa.array([-0.5, None])),
        TABLE.set_column(2, "logprob", pa.array([-0.5, float("nan")], pa.float32())),
        TABLE.slice(0, 1),
        TABLE.select(["tokens", "problem_id", "logprob"]),
    ],
    ids=["null for NaN", "float32 for float64", "a row less", "columns in another order"],
)
def test_a_table_with_another_value_type_row_or_order_differs(compared: Callable, table: pa.Table) -> None:
    path = "7b/vas/rollouts.parquet"
    assert compared(lambda new: pq.write_table(table, new / path)) == {"same": less(path), "differ": [path]}


def test_a_state_with_its_keys_in_another_order_has_the_same_values(compared: Callable) -> None:
    path = "7b/vas/trainer_state/optimizer.pt"
    result = compared(lambda new: torch.save(dict(reversed(STATE.items())), new / path))
    assert result == {"same": less(path), "same values": [path], "keeps": True}


@pytest.mark.parametrize(
    "mean",
    [torch.tensor([1.0, 0.0]), torch.tensor([[1.0, -0.0]]), torch.tensor([1.0, -0.0], dtype=torch.bfloat16)],
    ids=["zero's sign", "shape", "type"],
)
def test_a_state_with_another_tensor_differs(compared: Callable, mean: torch.Tensor) -> None:
    path = "7b/vas/trainer_state/optimizer.pt"
    state = {"step": 4, "ranks": [{"mean": mean, "steps": torch.tensor(4)}]}
    assert compared(lambda new: torch.save(state, new / path)) == {"same": less(path), "differ": [path]}


def test_a_renamed_output_is_compared_with_its_old_self(compared: Callable) -> None:
    def rename(new: Path) -> None:
        (new / "7b/vas/rollouts.parquet").rename(new / "7b/vas/samples.parquet")
        (new / "7b/eval/scores.json").unlink()

    result = compared(rename, {r"(.*)/rollouts\.parquet": r"\1/samples.parquet", r".*/eval/scores\.json": ""})
    assert result == {"same": sorted([*OUTPUTS[1:3], "7b/vas/samples.parquet", *OUTPUTS[4:]]), "keeps": True}


def test_two_outputs_under_one_new_name_are_refused(compared: Callable) -> None:
    with pytest.raises(UserError, match=r"found two under 7b/all\.json"):
        compared(lambda new: None, {r"7b/.*\.jsonl?": "7b/all.json"})


def test_an_unknown_commit_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "performance/compare_commits.py"), "no-such-commit"]
    folder = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(words, env=folder, capture_output=True, text=True, check=False)
    assert list(tmp_path.iterdir()) == []
    assert done.returncode == 2
    assert done.stderr == (
        f"compare_commits.py: error: no-such-commit: expected a commit of {ROOT}, found none of that name\n"
    )
