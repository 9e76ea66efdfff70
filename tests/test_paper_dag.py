"""The paper's recipe, `config/mmr1.yaml`, from downloads to report: its own rules and data formats, made small.

The hub is one on this machine. It has the three repositories that the recipe names, as their cards describe them: a
tiny model with the same architecture, RL problems in Parquet, conversations in JSON with tars of images.
"""

import io
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from benchmark_fixtures import png
from forking import ForkingServer
from hub_stand_in import COMMIT, serving
from mmr1.data.problems import Problem
from mmr1.data.sources import digits
from mmr1.plumbing.files import files_under, read_json, read_jsonl
from project import ROOT, copy_project, snakemake
from test_sft_layout import BROKEN, GOOD, TARS, chat, tar

RECIPE = "tests/recipes/paper.yaml"
R = "results/paper"
MODEL, SFT, RL, BENCHMARK = "Qwen/Qwen2.5-VL-3B-Instruct", "MMR1/MMR1-SFT", "MMR1/MMR1-RL", "lscpku/LogicVista"
CONVERSATIONS, PROBLEMS = 24, 16

# All that is not as in the paper's recipe: what is downloaded, sizes, and what a machine without GPUs runs.
SMALL: dict[str, Any] = {
    "name": "paper",
    "environment": "cpu",
    "models": {"3b": {"base": {"hub": MODEL, "revision": COMMIT[:9]}}},
    "data": {
        "mmr1": {
            "sft": {
                **{"hub": SFT, "revision": COMMIT[:7], "max_dropped": len(BROKEN)},
                "rows": CONVERSATIONS + len(GOOD) + len(BROKEN),
            },
            "sft_validation": 4,
            "rl": {"hub": RL, "revision": COMMIT[:7], "rows": PROBLEMS},
            "validation": "logicvista",
        }
    },
    # A row holds a few of its twenty conversations.
    "sft": {
        **{"epochs": 1, "batch_size": 1, "cutoff": 2048, "packing": 2048, "save_every": 2, "evaluate_every": 2},
        "machine": {"loader_workers": 0},
    },
    "schedule": {"steps": 4, "update_every": 2, "batch_size": 4},
    "prompts": {"training": "config/prompts/digits.txt"},  # a twentieth of the length
    "vas": {"samples": 2},
    "rollout": {"engine": "transformers", "shards": 2, "max_prompt_tokens": 900, "max_tokens": 8},
    "grpo": {
        "group_size": 2,
        "mini_batch_size": 4,
        "max_prompt_tokens": 900,
        "max_response_tokens": 8,
        "engine": {"name": "transformers"},
    },
    "validation": {"every": 2},
    "evaluation": {"benchmarks": ["logicvista"], "max_tokens": 8},
    "runs": {"vas": {}},
    "resources": {},
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(30 * 60)]


def recipe() -> dict[str, Any]:
    """The paper's recipe with what is small in it: `models`, `data`, `runs` and `resources` are replaced as a whole."""
    paper = yaml.safe_load((ROOT / "config/mmr1.yaml").read_text())
    whole = ("models", "data", "runs", "resources")
    for name, value in SMALL.items():
        merge = isinstance(value, dict) and name not in whole
        paper[name] = paper[name] | value if merge else value
    return paper


def model_files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files_under(folder)}


def rl_files(problems: list[Problem]) -> dict[str, bytes]:
    """Two Parquet files with problem, answer and images."""
    rows = [
        {"problem": one.question, "answer": one.answer, "images": [{"bytes": raw, "path": None} for raw in one.images]}
        for one in problems
    ]
    schema = pa.schema([
        ("problem", pa.string()), ("answer", pa.string()),
        ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))),
    ])  # fmt: skip
    files = {}
    for index, part in enumerate((rows[:5], rows[5:])):
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(part, schema=schema), buffer)
        files[f"data/train-{index:05d}.parquet"] = buffer.getvalue()
    return files


def sft_files(problems: list[Problem]) -> dict[str, bytes]:
    """The set as it really lies (`test_sft_layout.py`): its odd items, good and broken, and conversations of digits.

    Those have the images in a third tar under a source's folder, and name them with another prefix and by another key.
    """
    images, items = {}, []
    for number, one in enumerate(problems):
        names = [f"digits/images/{number}-{index}.png" for index in range(len(one.images))]
        images |= dict(zip(names, one.images, strict=True))
        named = [f"/mnt/data/sft/{name}" for name in names]
        key = {"image": named[0]} if len(named) == 1 else {"images": named}
        items.append(chat(one.question, digits.worked_response(one), **key))
    odd = [*(item for item, _ in GOOD), *(item for item, *_ in BROKEN)]
    return {"mmr1_sft.json": ("\ufeff" + json.dumps([*items, *odd])).encode(), "images_0000.tar": tar(images), **TARS}


def benchmark_files(folder: Path) -> dict[str, bytes]:
    """As many rows as the benchmark has."""
    row = {"question": "Next? (A) one (B) two", "answer": "B", "skill": ["inductive"], "broad_capability": ["pattern"]}
    rows = [row | {"imagename": f"v1_{n}.png", "image": {"bytes": png(28), "path": None}} for n in range(448)]
    data = datasets.Dataset.from_list(rows).cast_column("image", datasets.Image())
    data.to_parquet(folder / "data.parquet")
    card = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n    path: data/*\n---\n"
    return {"data/test.parquet": (folder / "data.parquet").read_bytes(), "README.md": card.encode()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model_dir: Path) -> tuple[Path, str]:
    """A checkout in which first `downloads` ran, with the hub, and then `all`, without it; what the latter printed.

    What the latter's programs import is told that there is no hub, too: huggingface_hub looks once.
    """
    project = copy_project(tmp_path_factory.mktemp("project"))
    (project / RECIPE).write_text(yaml.safe_dump(recipe()))
    drawn = digits.load(held_out=False)
    with serving() as (url, hub):
        hub.repositories = {
            MODEL: model_files(tiny_model_dir),
            SFT: sft_files(digits.make_problems("sft", CONVERSATIONS, seed=0, digits=drawn)),
            RL: rl_files(digits.make_problems("rl", PROBLEMS, seed=0, digits=drawn)),
            BENCHMARK: benchmark_files(project),
        }
        hub.large = {"model.safetensors", "images_0000.tar", *TARS}
        snakemake(project, "downloads", recipe=RECIPE, HF_ENDPOINT=url, HF_HOME=str(project / "hub"))
    offline = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    server = ForkingServer(**offline)
    try:
        return project, snakemake(project, "all", recipe=RECIPE, PATH=server.path, **offline)
    finally:
        server.close()


def test_the_recipe_runs_from_downloads_to_report(finished: tuple[Path, str]) -> None:
    project, printed = finished
    assert "download" not in printed.partition("Job stats:")[2].partition("total")[0]
    rules = {path.relative_to(project / R / "records").parts[0] for path in (project / R / "records").rglob("*.json")}
    assert rules >= {"download_model", "download_dataset", "prepare_benchmark", "prepare_mmr1", "prepare_mmr1_sft"}
    assert rules >= {"train_sft", "generate_initial", "score_vps", "draw_schedule", "train_grpo", "generate"}
    assert rules >= {"generate_predictions", "score_benchmark", "make_tables", "make_report", "export_mlflow"}
    assert (project / R / "report.html").stat().st_size > 100_000
    assert (project / R / "tables/accuracy.md").exists()
    assert pq.read_table(project / R / "data/sft_rejects.parquet").num_rows == len(BROKEN)
    said = (project / R / "report.html").read_text()
    assert "Left out: 4 (expected a file of the tars), " in said, "the data card says it"


def test_every_number_leads_to_commits_of_the_hub(finished: tuple[Path, str]) -> None:
    """From the score of the last checkpoint over the records of its parents."""
    project, _ = finished
    jobs, waiting = {}, [f"{R}/records/score_benchmark/3b/vas-seed0/logicvista.json"]
    while waiting:
        name = waiting.pop()
        if name not in jobs:
            jobs[name] = read_json(project / name)
            waiting += [parent["record"] for parent in jobs[name]["parents"]]
            assert all(parent["name"] for parent in jobs[name]["parents"]), name
    sources = {tuple(record["notes"]["source"].values()) for record in jobs.values() if "source" in record["notes"]}
    assert {repository for repository, _ in sources} == {MODEL, SFT, RL, BENCHMARK}
    assert {commit for repository, commit in sources if repository != BENCHMARK} == {COMMIT}


def test_training_went_on_over_rounds_and_was_validated(finished: tuple[Path, str]) -> None:
    project, _ = finished
    folder = project / R / "3b/vas/seed0"
    assert [row["step"] for r in range(2) for row in read_jsonl(folder / f"round{r}/metrics.jsonl")] == [0, 1, 2, 3]
    assert [row["step"] for r in range(2) for row in read_jsonl(folder / f"round{r}/validation.jsonl")] == [0, 2, 4]
    scores = read_json(project / R / "3b/eval/vas-seed0/logicvista/scores.json")
    assert scores["n"] == 448
