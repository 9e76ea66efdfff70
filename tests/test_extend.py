"""docs/extend.md: every file in it is written to its place in a copy of the project, and used."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from project import copy_project, snakemake

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PLACE = re.compile(r"^# (\S+), (?:after: (.+)|at the end)$")


def sections() -> dict[str, str]:
    """The tasks of the page: heading to text."""
    _, *parts = re.split(r"^## ", (ROOT / "docs/extend.md").read_text(), flags=re.MULTILINE)
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def written(text: str, project: Path) -> list[Path]:
    """Write a section's code to where it says: a new file, or lines after one that is there, or at a file's end."""
    files = []
    for block in BLOCK.finditer(text):
        code = block[1]
        first, _, rest = code.partition("\n")
        if place := PLACE.match(first):
            path, line = project / place[1], place[2]
            old = path.read_text()
            if line is None:
                path.write_text(f"{old}\n\n{rest}")
            else:
                assert old.count(line) == 1, f"{path}: {line}"
                path.write_text(old.replace(line, f"{line}\n{rest.rstrip()}"))
        else:
            path = project / re.findall(r"`(scripts/\S+\.py)`", text[: block.start()])[-1]
            assert not path.exists(), path
            path.write_text(code)
        files.append(path)
    return files


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with all of the page's files in it."""
    project = copy_project(tmp_path_factory.mktemp("extended"))
    for text in sections().values():
        written(text, project)
    return project


def python(project: Path, code: str, interpreter: str | Path = sys.executable) -> str:
    """Run some lines with the copy's library; gives what they print."""
    lines = f"import sys\nsys.path.insert(0, 'scripts')\n{code}"
    done = subprocess.run([interpreter, "-c", lines], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


PLUGINS = {
    "A diversity": ("vas/diversities", "length_spread"),
    "A sampler": ("vas/samplers", "unseen_first"),
    "A reward": ("rewards", "no_digits"),
    "A loss": ("grpo/losses", "reinforce"),
    "A data source": ("data/sources", "sums"),
    "A benchmark": ("benchmarks/suite", "yes_no"),
    "A model family": ("models/families", "my_vl"),
}


def test_the_page_has_ten_tasks() -> None:
    assert sections().keys() == {*PLUGINS, "A key", "A metric", "A rule"}


@pytest.mark.parametrize("task", PLUGINS)
def test_one_file_is_all_that_a_recipe_needs(project: Path, task: str) -> None:
    """Where recipes are checked, without torch: the example beside the digits recipe is a recipe."""
    folder, name = PLUGINS[task]
    code = f"""
import yaml
from mmr1 import plugins
from mmr1.plumbing.settings import merged
from mmr1.recipe import load_recipe
recipe = yaml.safe_load(open("config/digits.yaml"))
example = yaml.safe_load(plugins.load({folder!r}, {name!r}).EXAMPLE)
if "data" in example:
    recipe.pop("data")
print(load_recipe(merged(recipe, example)).name)
"""
    assert python(project, code, ROOT / ".envs/driver/bin/python") == "digits"


def test_the_diversity_is_that_of_its_formula(project: Path) -> None:
    code = """
import numpy as np
from mmr1.plugins import load
tokens, offsets, groups = np.zeros(12, np.int32), np.array([0, 2, 4, 4, 12]), np.array([0, 2, 4])
print(load("vas/diversities", "length_spread").diversity(tokens, offsets, groups, 1).tolist())
"""
    assert python(project, code) == "[0.0, 1.0]"


def test_the_sampler_goes_round_the_set(project: Path) -> None:
    code = """
import pyarrow as pa
from mmr1.vas.samplers import make_sampler
from mmr1.vas.settings import DrawSettings
sampler = make_sampler(DrawSettings(sampler="unseen_first", batch_size=2), ["a", "b", "c"], 0)
chosen = []
for step in range(3):
    problems = sampler.choose(step).problems.tolist()
    chosen.append(problems)
    rows = [{"problem_id": "abc"[p], "step": step, "slot": slot, "rollout": 0, "accuracy": 1.0}
            for slot, p in enumerate(problems)]
    sampler.observe(step, pa.Table.from_pylist(rows))
print(chosen)
"""
    assert python(project, code) == "[[0, 1], [2, 0], [1, 2]]"


def test_the_reward_and_the_loss_are_those_of_their_formulas(project: Path) -> None:
    code = """
import numpy as np, torch
from mmr1.data.problems import Problem
from mmr1.grpo.losses import Sequences, Tokens
from mmr1.plugins import NoSettings, load
from mmr1.rewards import Response
texts = ["seven", "7"]
responses = [Response(Problem("1", "s", "?", (), "7"), text, np.zeros(1, np.int32), "stop") for text in texts]
print(load("rewards", "no_digits").score(responses, NoSettings(), None).values)
reinforce, none = load("grpo/losses", "reinforce"), NoSettings()
advantages = reinforce.advantages(torch.tensor([[1.0, 0.0]], dtype=torch.float64), none)
weights = reinforce.weights(Sequences([1, 3], [False, False], 8), none)
logprobs = torch.tensor([-1.0, -1.0, -2.0, -3.0], requires_grad=True)
spread = torch.tensor([0, 1, 1, 1])
tokens = Tokens(logprobs, logprobs.detach(), None, advantages[0].float()[spread], torch.tensor(weights)[spread],
                torch.tensor([0, 1, 4]))
loss, values = reinforce.loss(tokens, none)
loss.backward()
print(advantages.tolist(), weights, loss.item(), values["surprise"].tolist(), logprobs.grad.tolist())
"""
    assert python(project, code).splitlines() == [
        "[1.0, 0.0]",
        "[[0.5, -0.5]] [0.25, 0.25] -0.625 [1.0, 1.0, 2.0, 3.0] [-0.125, 0.125, 0.125, 0.125]",
    ]


def test_the_source_writes_problems_that_the_programs_read(project: Path, tmp_path: Path) -> None:
    source = "{name: sums, problems: 4, sft: 4, sft_validation: 1, validation: 1}"
    words = ["scripts/prepare_data.py", "--source", source, "--problems", tmp_path / "p.parquet"]
    subprocess.run([sys.executable, *map(str, words)], cwd=project, check=True, capture_output=True)
    code = f"""
from mmr1.data.problems import read_problems
problems = read_problems({str(tmp_path / "p.parquet")!r})
print([eval(one.question.rstrip("?")) == int(one.answer) for one in problems])
"""
    assert python(project, code) == "[True, True, True, True]"


def test_the_benchmark_judges(project: Path) -> None:
    code = """
from mmr1.benchmarks.base import Response, benchmark
mine = benchmark("yes_no")
problem = mine.to_problem({"id": "1", "question": "Red?", "answer": "Yes"}, 0)
print([mine.official(problem, Response(text)).correct for text in ("I think yes.", "No", "")])
"""
    assert python(project, code) == "[True, False, False]"


def test_the_family_is_that_of_its_checkpoints(project: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "my_vl"}')
    code = f"from mmr1.models.family import family_name\nprint(family_name({str(tmp_path)!r}))"
    assert python(project, code) == "my_vl"


def test_the_key_makes_nothing_due_at_its_default(project: Path) -> None:
    code = """
from mmr1.grpo.settings import GRPOSettings
from mmr1.plumbing.settings import numbers
print("reward_scale" in numbers(GRPOSettings()), numbers(GRPOSettings(reward_scale=2))["reward_scale"])
"""
    assert python(project, code) == "False 2.0"


def test_the_metric_is_logged(project: Path) -> None:
    assert '"response_length_min"' in (project / "scripts/mmr1/grpo/metrics.py").read_text()
    code = "import ast\nast.parse(open('scripts/mmr1/grpo/metrics.py').read())"
    python(project, code)


def test_the_rule_is_planned_by_its_target(project: Path) -> None:
    target = "results/tiny/tiny/grpo/seed0/round0/count.json"
    printed = snakemake(project, "-n", target)
    assert re.search(r"^count_rollouts +1$", printed, re.MULTILINE)


def test_what_no_recipe_names_makes_nothing_due(project: Path) -> None:
    """The page's files, together, change no digest of the jobs that do not use them."""
    digests = """
from mmr1.plumbing.code import code_digest
from mmr1.rollout.settings import GenerateSettings
from mmr1.plumbing.settings import plugin_files
from mmr1.vas.settings import ScoreSettings
scored, asked = plugin_files(ScoreSettings()), plugin_files(GenerateSettings(temperature=1, engine="transformers"))
print(code_digest("score_vps", scored), code_digest("generate", asked), code_digest("draw_schedule"))
"""
    assert python(project, digests) == python(ROOT, digests)
