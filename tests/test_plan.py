"""What a recipe will cost: sizes against the real models', work and jobs against what a finished run did."""

from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForImageTextToText, Qwen2_5_VLConfig

from mmr1.grpo import memory as grpo_memory
from mmr1.models.family import family
from mmr1.models.load import load_model, shape_in
from mmr1.models.settings import TinyArchitecture
from mmr1.models.shapes import shape_of, tiny_shape
from mmr1.models.tiny import build
from mmr1.plan.memory import peak
from mmr1.plan.summary import PlannedJob, Speeds, line, longest_chain, passes_share, sums
from mmr1.plan.work import Lengths, Planner, Work, image, prompt, response
from mmr1.plugins import names
from mmr1.recipe import load_recipe, read_recipe
from mmr1.sft import memory as sft_memory
from mmr1.training.division import on_nodes, read_division

ROOT = Path(__file__).parents[1]


def count(config: AutoConfig) -> int:
    """The number of weights of a model that transformers makes of this config, on no device."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("hub", family("qwen2_5_vl").RELEASED)
def test_a_released_size_has_the_weights_that_transformers_makes(hub: str) -> None:
    values = family("qwen2_5_vl").RELEASED[hub]
    assert shape_of(values, family("qwen2_5_vl")).total == count(Qwen2_5_VLConfig(**values))


@pytest.mark.parametrize("name", names("models/families"))
def test_a_tiny_model_has_the_weights_that_transformers_makes(name: str) -> None:
    architecture = TinyArchitecture.model_validate({"family": name})
    tokenizer = family(name).tiny_processor().tokenizer
    assert tiny_shape(architecture).total == count(family(name).tiny_config(architecture, tokenizer))


@pytest.mark.parametrize("name", names("models/families"))
def test_the_flops_of_image_and_text_are_those_that_torch_counts(name: str, tmp_path: Path) -> None:
    """To 4%: the formula multiplies by biases, norms and looked-up positions too. torch counts the whole square."""
    architecture = TinyArchitecture.model_validate({"family": name, "vision_depth": 3, "layers": 3})
    build(tmp_path / "model", architecture, seed=0)
    model, shape = load_model(tmp_path / "model", torch.float32), tiny_shape(architecture)
    assert shape_in(tmp_path / "model") == shape
    rows = columns = 16  # four windows of 8 × 8 patches
    values = 3 * 2 * family(name).PATCH ** 2
    pixels, grid = torch.zeros(rows * columns, values), torch.tensor([[1, rows, columns]])
    with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        family(name).image_features(model, pixels, grid)
    assert counted.get_total_flops() == pytest.approx(image(shape, rows * columns // shape.merge), rel=0.04)

    tokens = 96
    with FlopCounterMode(display=False) as counted, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        model.model.language_model(input_ids=torch.full((1, tokens), 20), use_cache=False)
    causal = 2 * shape.layers * shape.width * tokens**2
    assert counted.get_total_flops() - causal == pytest.approx(prompt(shape, tokens), rel=0.04)
    lengths = Lengths(prompt=64, visual=0, response=32)
    longer = prompt(shape, 96) + 2 * shape.head * 32
    assert prompt(shape, 64) + response(shape, lengths) == pytest.approx(longer)


def test_lengths_are_capped_at_half_of_a_bound() -> None:
    assert Lengths(700, 500, 800).within(prompt=140, response=64) == Lengths(70, 50, 32)
    assert Lengths(700, 500, 800).within(prompt=None, response=4096) == Lengths(700, 500, 800)


def test_responses_that_are_only_asked_for_on_request_are_planned_too() -> None:
    """Of 960 problems, 8 for `curate` and 32 + 8 for `counterfactual`; a response has half of its bound."""
    recipe = load_recipe(read_recipe(ROOT / "config/digits.yaml"))
    planner = Planner(recipe, {"tiny": tiny_shape(TinyArchitecture())}, Lengths())
    for rule, n in (("curate_responses", 8), ("counterfactual_responses", 40)):
        assert planner.work(rule, "tiny", None, None).sampled_tokens == 960 * n * 16
    assert not planner.unknown


def test_the_memory_of_a_rank_is_what_its_trainer_will_say() -> None:
    """The cold start of 32B on eight nodes, and GRPO on four: a copy of the weights on each node."""
    sections = load_recipe(read_recipe(ROOT / "config" / "mmr1.yaml")).resolve("32b", "vas")
    released = family("qwen2_5_vl").RELEASED["Qwen/Qwen2.5-VL-32B-Instruct"]
    shape, device = shape_of(released, family("qwen2_5_vl")), 80 << 30
    assert peak("evaluation", sections, shape, 4, 1, device) == 0
    for stage, estimate, settings, ranks in (
        ("sft", sft_memory.estimate, sections.sft, 64),
        ("training", grpo_memory.estimate, sections.grpo, 32),
    ):
        division = on_nodes(read_division(settings.deepspeed), ranks, 8)
        assert division["zero_optimization"]["zero_hpz_partition_size"] == 8
        expected = estimate(shape, settings, division, ranks, device).peak
        assert peak(stage, sections, shape, ranks, ranks // 8, device) == expected


def test_the_longest_chain_and_the_sums() -> None:
    """Two shards, then a training: the longer of the shards counts."""
    speeds = Speeds(peak=1e12, training=0.5, sampling=0.5)
    hour = 1e12 * 0.5 * 3600
    work = [Work(sampled_tokens=8, sampling_flops=hour), Work(sampled_tokens=8, sampling_flops=3 * hour)]
    jobs = [PlannedJob(f"shard{n}", "generate", "m", "r", "passes", 1, 1, 120, one) for n, one in enumerate(work)]
    jobs.append(PlannedJob("score", "score_vps", "m", "r", "other", 0, 1, 60, Work(), after=("shard0", "shard1")))
    training = Work(sampled_tokens=32, training_flops=8 * hour, kept=2e9)
    jobs.append(PlannedJob("round0", "train_grpo", "m", "r", "training", 8, 8, 60, training, after=("score",)))
    assert longest_chain(jobs, speeds) == (4.0, 3)
    assert passes_share(jobs) == 0.5
    total = sums(jobs, speeds)
    assert (total["hours"], total["asked_gpu_hours"], total["jobs"]) == (12.0, 12.0, 4)
    assert line(jobs, speeds).startswith("4 jobs, about 12 GPU-hours (12 at most, by their time limits), 2.0 GB kept; ")
