"""`scripts/generate.py`: shards that add up, seeds that are stored, and one clear line for every mistake."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import generate
from forking import ForkingServer
from mmr1.data import contracts
from mmr1.data.problems import Problem, write_problems
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json
from mmr1.rollout.blocks import Blocks
from mmr1.rollout.requests import Request, Rollout
from mmr1.rollout.transformers_engine import TransformersEngine
from mmr1.seeds import derive

PROGRAM = Path(__file__).parents[1] / "scripts" / "generate.py"

Generate = Callable[..., pa.Table]


@pytest.fixture(scope="module")
def problems_file(tmp_path_factory: pytest.TempPathFactory, digit_problems: list[Problem]) -> Path:
    path = tmp_path_factory.mktemp("problems") / "problems.parquet"
    write_problems(path, digit_problems[:11])
    return path


@pytest.fixture
def arguments(tiny_model_dir: Path, problems_file: Path, tmp_path: Path) -> dict[str, object]:
    return {
        "model": tiny_model_dir,
        "problems": problems_file,
        "out": tmp_path / "rollouts.parquet",
        "n": 2,
        "temperature": 1.0,
        "max-tokens": 8,
        "seed": 5,
        "engine": "transformers",
        "block-size": 2,
    }


@pytest.fixture
def run_generate(arguments: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Generate:
    """Runs the program in this process with some arguments changed (None: left out); returns the table it wrote."""

    def call(**changes: object) -> pa.Table:
        given = arguments | {name.replace("_", "-"): value for name, value in changes.items()}
        monkeypatch.setattr(sys, "argv", ["generate.py", *command_line(given)])
        generate.main()
        return contracts.read(str(given["out"]), contracts.ROLLOUTS)

    return call


def command_line(given: dict[str, object]) -> list[str]:
    return [text for name, value in given.items() if value is not None for text in (f"--{name}", str(value))]


def test_rows(run_generate: Generate, digit_problems: list[Problem]) -> None:
    """n rows per problem, in order, with the seeds that `derive` gives."""
    rows = run_generate().to_pylist()
    assert [(row["problem_id"], row["rollout"]) for row in rows] == [
        (problem.id, index) for problem in digit_problems[:11] for index in range(2)
    ]
    assert all(row["seed"] == derive(5, "vps", 0, row["problem_id"], row["rollout"]) for row in rows)
    assert all(1 <= len(row["token_ids"]) <= 8 for row in rows)
    assert all(row["finish_reason"] in ("stop", "length") for row in rows)
    assert all(-20 < row["logprob"] < 0 for row in rows)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_concatenate_to_the_whole(
    run_generate: Generate, arguments: dict[str, object], tmp_path: Path, count: int
) -> None:
    """The file that 1, 2, 3 or 7 shards (of 6 blocks: one is empty) make together has the bytes of the whole one."""
    run_generate()
    parts = [tmp_path / f"shard{index}.parquet" for index in range(count)]
    for index, part in enumerate(parts):
        run_generate(out=part, shard=f"{index}/{count}")
    joined = tmp_path / "joined.parquet"
    with contracts.writer(joined, contracts.ROLLOUTS) as writer:
        for part in parts:
            for group in contracts.iter_row_groups(part, contracts.ROLLOUTS):
                writer.write_table(group)
    assert joined.read_bytes() == Path(str(arguments["out"])).read_bytes()


def test_a_row_group_is_a_block(run_generate: Generate, arguments: dict[str, object]) -> None:
    run_generate()
    metadata = pq.ParquetFile(arguments["out"]).metadata
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [4, 4, 4, 4, 4, 2]


def test_greedy(run_generate: Generate) -> None:
    """At temperature 0 all rollouts of a problem are the same, and the seed does not matter."""
    rows = run_generate(temperature=0, n=3).to_pylist()
    texts = {row["problem_id"]: row["text"] for row in rows}
    assert all(row["text"] == texts[row["problem_id"]] for row in rows)
    assert [row["text"] for row in run_generate(temperature=0, n=3, seed=6).to_pylist()] == [
        row["text"] for row in rows
    ]


def test_seed_purpose_and_round_change_the_draws(run_generate: Generate) -> None:
    texts = [
        tuple(run_generate(**change).column("text").to_pylist())
        for change in ({}, {"seed": 6}, {"purpose": "eval"}, {"round": 1})
    ]
    assert len(set(texts)) == 4


def test_system_prompt_changes_the_prompt(run_generate: Generate, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Think first.\n")
    without = run_generate(temperature=0).column("token_ids")
    system = run_generate(temperature=0, system_prompt=prompt).column("token_ids")
    user = run_generate(temperature=0, system_prompt=prompt, prompt_position="user").column("token_ids")
    assert without != system
    assert system != user


def test_program_writes_its_record(server: ForkingServer, arguments: dict[str, object], tmp_path: Path) -> None:
    record = tmp_path / "records" / "generate" / "shard0.json"
    command = [server.python, str(PROGRAM), *command_line(arguments | {"record": record})]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "blocks of problems: 6/6" in done.stderr
    written = read_json(record)
    lengths = [
        len(ids) for ids in contracts.read(str(arguments["out"]), contracts.ROLLOUTS).column("token_ids").to_pylist()
    ]
    assert written["metrics"]["rollouts"] == 22
    assert written["metrics"]["tokens"] == sum(lengths)
    assert 0 <= written["metrics"]["truncated"] <= 1
    assert written["notes"]["engine"] == "transformers"
    assert written["notes"]["threads"] == written["key"]["params"]["threads"] == 1
    assert {"model", "problems"} <= set(written["key"]["inputs"])


def test_program_ends_with_one_line_and_code_2(
    server: ForkingServer, arguments: dict[str, object], tmp_path: Path
) -> None:
    empty = tmp_path / "checkpoint"
    empty.mkdir()
    command = [server.python, str(PROGRAM), *command_line(arguments | {"model": empty})]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"generate.py: error: {empty}: expected a checkpoint, found no config.json"
    assert "Traceback" not in done.stderr
    assert not Path(str(arguments["out"])).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"problems": "nowhere.parquet"}, r"nowhere\.parquet: no such file or folder \(--problems\)"),
        ({"model": "nowhere"}, r"nowhere: no such file or folder \(--model\)"),
        ({"system_prompt": "nowhere.txt"}, r"nowhere\.txt: no such file or folder \(--system-prompt\)"),
        ({"shard": "3/3"}, r"--shard: expected I/K with 0 <= I < K, such as 0/4, found 3/3"),
        ({"shard": "first"}, r"--shard: expected I/K .* found first"),
        ({"n": 0}, r"n: expected at least 1, found 0"),
        ({"temperature": -1}, r"temperature: expected at least 0, found -1"),
        ({"temperature": "nan"}, r"temperature: .*finite number, found nan|temperature: .*found .nan"),
        ({"top_p": 0}, r"top_p: expected more than 0, found 0"),
        ({"seed": -3}, r"--seed: expected a number in \[0, 2\^63\), found -3"),
        ({"max_prompt_tokens": 20}, r"problem test-0000\d: expected a prompt of at most 20 tokens, found \d\d"),
    ],
)
def test_mistakes(run_generate: Generate, tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run_generate(**change)
    assert list(tmp_path.iterdir()) == []


def test_shards_are_even_and_whole(digit_problems: list[Problem]) -> None:
    for count in (1, 3, 5, 9):
        shards = [generate.shard_blocks(digit_problems, 3, (index, count)) for index in range(count)]
        blocks = {number: block for shard in shards for number, block in shard.items()}
        assert [*blocks] == list(range(len(blocks)))
        assert [problem for block in blocks.values() for problem in block] == digit_problems
        sizes = [len(shard) for shard in shards]
        assert max(sizes) - min(sizes) <= 1


def test_mean_logprob_is_stored(run_generate: Generate) -> None:
    """With one token, the mean is that token's log-probability, and the chance of each is at most one."""
    logprobs = np.array(run_generate(max_tokens=1, temperature=0).column("logprob").to_pylist())
    assert np.all(logprobs <= 0)
    assert np.all(logprobs >= np.log(1 / 109))


class Killed(BaseException):
    """What no program catches."""


class Sampling:
    """The first problem of every block that an engine was asked for, and after how many the program is killed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.blocks: list[str] = []
        self.killed_after = 99
        sample = TransformersEngine.generate

        def noted(engine: TransformersEngine, requests: Sequence[Request], how: Any) -> list[Rollout]:
            if len(self.blocks) == self.killed_after:
                raise Killed
            self.blocks.append(requests[0].problem.id)
            return sample(engine, requests, how)

        monkeypatch.setattr(TransformersEngine, "generate", noted)


@pytest.fixture
def sampling(monkeypatch: pytest.MonkeyPatch) -> Sampling:
    return Sampling(monkeypatch)


def test_a_killed_generation_goes_on_from_its_blocks_to_the_same_bytes(
    run_generate: Generate, sampling: Sampling, arguments: dict[str, object], tmp_path: Path
) -> None:
    """Killed after two of six blocks, then one of the two is damaged; the other four and this one are sampled."""
    out, work = tmp_path / "killed.parquet", tmp_path / "killed.parquet.work"
    run_generate()
    every, sampling.blocks, sampling.killed_after = sampling.blocks, [], 2
    with pytest.raises(Killed):
        run_generate(out=out)
    assert sorted(path.name for path in work.glob("0*")) == ["000000.parquet", "000001.parquet"]
    damaged = work / "000001.parquet"
    damaged.write_bytes(damaged.read_bytes().replace(b"PAR1", b"PAR2"))
    sampling.blocks, sampling.killed_after = [], 99
    run_generate(out=out)
    assert sampling.blocks == every[1:]
    assert out.read_bytes() == Path(str(arguments["out"])).read_bytes()
    assert not work.exists()


def test_blocks_that_are_all_there_need_no_engine(
    run_generate: Generate, sampling: Sampling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the table is written."""
    with monkeypatch.context() as killed:
        killed.setattr(Blocks, "join", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            run_generate()
    monkeypatch.setattr(generate, "make_engine", None)
    assert run_generate().num_rows == 22
    assert len(sampling.blocks) == 6


def test_the_blocks_of_another_job_are_not_used(
    run_generate: Generate, sampling: Sampling, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sampling.killed_after = 2
    with pytest.raises(Killed):
        run_generate(seed=6)
    sampling.blocks, sampling.killed_after = [], 99
    run_generate()
    assert len(sampling.blocks) == 6
    assert "rollouts.parquet.work: rollouts of a job that differed in seed; removed" in capsys.readouterr().err
