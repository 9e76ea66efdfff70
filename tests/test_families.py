"""Model families: one file each, and the same promises from every one of them."""

import ast
import itertools
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from forking import ForkingServer
from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.grpo.batching import PlacedPrompt, Sample, collate, plan
from mmr1.grpo.loader import place
from mmr1.grpo.policy import LogprobModel
from mmr1.models.action_space import policy_logits, suppressed_tokens
from mmr1.models.checkpoints import check_checkpoint
from mmr1.models.family import FOLDER, family, family_file, family_name
from mmr1.models.settings import TinyArchitecture
from mmr1.models.tiny import build
from mmr1.plugins import names
from mmr1.plumbing.code import code_digest, code_files
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json
from mmr1.plumbing.settings import numbers, plugin_files
from mmr1.recipe import Recipe
from project import TINY, copy_project, snakemake
from trainer_harness import small_setup

ROOT = Path(__file__).parents[1]
SHOW_MODELS = ("prepare_mmr1", "train_sft", "generate", "train_grpo")  # programs that encode prompts


@pytest.fixture(scope="module", params=names(FOLDER))
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of each family."""
    folder = tmp_path_factory.mktemp(request.param) / "checkpoint"
    build(folder, TinyArchitecture.model_validate({"family": request.param}), seed=0)
    return folder


def test_no_module_outside_its_file_names_a_family() -> None:
    for path in (ROOT / "scripts").rglob("*.py"):
        if path.parent.name != "families":
            tree = ast.parse(path.read_text())
            names_in = {
                str(getattr(node, field))
                for node in ast.walk(tree)
                for field in ("id", "attr", "name", "module")
                if hasattr(node, field)
            }
            assert not [name for name in names_in if "qwen" in name.lower()], path


@pytest.mark.parametrize("program", SHOW_MODELS)
def test_a_family_that_no_model_is_of_makes_nothing_due(program: str) -> None:
    """No file of a family is part of a program but through the recipe's choice."""
    assert not [file for file in code_files(program) if "families/q" in file]
    chosen = code_files(program, [f"mmr1/{FOLDER}/qwen2_5_vl.py"])
    assert [file for file in chosen if "families/q" in file] == [f"mmr1/{FOLDER}/qwen2_5_vl.py"]
    assert code_digest(program, [f"mmr1/{FOLDER}/qwen3_vl.py"]) != code_digest(
        program, [f"mmr1/{FOLDER}/qwen2_5_vl.py"]
    )


def test_the_family_that_was_there_before_is_in_no_settings() -> None:
    assert "family" not in numbers(TinyArchitecture())
    other = TinyArchitecture.model_validate({"family": "qwen3_vl"})
    assert numbers(other)["family"] == {"name": "qwen3_vl"}
    assert plugin_files(other) == [f"mmr1/{FOLDER}/qwen3_vl.py"]


def test_each_model_of_a_recipe_has_its_family() -> None:
    recipe = yaml.safe_load((ROOT / TINY).read_text())
    hub = {"hub": "Qwen/Qwen3-VL-4B-Instruct", "revision": "abc1234", "family": "qwen3_vl"}
    recipe["models"]["large"] = {"base": hub}
    checked = Recipe.model_validate(recipe)
    assert checked.family.name == checked.resolve("tiny", "vas").family.name == "qwen2_5_vl"
    assert checked.resolve("large").family.name == "qwen3_vl"


def test_a_checkpoint_tells_its_family(checkpoint: Path) -> None:
    name = family_name(checkpoint)
    assert family_file(checkpoint) == f"mmr1/{FOLDER}/{name}.py"
    check_checkpoint(checkpoint, family=name)
    with pytest.raises(UserError, match=f"family: expected another, found {name}"):
        check_checkpoint(checkpoint, family="another")


def test_special_and_vision_tokens_are_suppressed_but_the_end_of_a_turn(checkpoint: Path) -> None:
    tokenizer = AutoProcessor.from_pretrained(checkpoint).tokenizer
    config = AutoConfig.from_pretrained(checkpoint)
    suppressed = suppressed_tokens(tokenizer, config)
    assert {config.image_token_id, config.video_token_id, config.vision_start_token_id} <= set(suppressed)
    assert tokenizer.eos_token_id not in suppressed
    assert tokenizer.convert_tokens_to_ids("7") not in suppressed


def test_a_digit_is_one_visual_token_of_every_family(checkpoint: Path, digit_problems: list[Problem]) -> None:
    encoder = PromptEncoder(AutoProcessor.from_pretrained(checkpoint))
    config = AutoConfig.from_pretrained(checkpoint)
    hooks = family(family_name(checkpoint))
    for problem, prompt in zip(digit_problems, encoder.encode_many(digit_problems), strict=True):
        assert int((prompt.input_ids == hooks.image_token(config)).sum()) == len(problem.images)
    pixels, grid = hooks.blank_image(config)
    seen = encoder.encode(digit_problems[0])  # of one image
    assert seen.pixel_values is not None
    assert seen.image_grid_thw is not None
    assert (pixels.shape, grid.tolist()) == (seen.pixel_values.shape, seen.image_grid_thw.tolist())


# Log-probabilities of the trainer's forward pass, against the model's own.


def samples_of(
    model: torch.nn.Module, encoder: PromptEncoder, problems: list[Problem], n: int
) -> tuple[list[Sample], dict[int, PlacedPrompt]]:
    """`n` random responses to each problem, and the problems' prompts."""
    generator = torch.Generator().manual_seed(0)
    prompts = {group: place(model, encoder.encode(problem)) for group, problem in enumerate(problems)}  # type: ignore[arg-type]
    samples = [
        Sample(group, len(prompt), torch.randint(20, 90, (int(length),), generator=generator))
        for group, prompt in prompts.items()
        for length in torch.randint(1, 12, (n,), generator=generator)
    ]
    return samples, prompts


def own_logprobs(model: torch.nn.Module, prompt: PlacedPrompt, response: torch.Tensor) -> torch.Tensor:
    """By the model's forward pass over one sequence, with positions and images of its own making."""
    encoded = prompt.encoded
    ids = torch.cat([encoded.input_ids, response])[None]
    images = {"pixel_values": encoded.pixel_values, "image_grid_thw": encoded.image_grid_thw}
    with torch.no_grad():
        logits = model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=(ids == model.config.image_token_id).int(),
            **(images if encoded.pixel_values is not None else {}),
        ).logits[0, len(encoded.input_ids) - 1 : -1]
    return policy_logits(logits, [0, 1], 0.7).log_softmax(-1).gather(1, response[:, None])[:, 0]


@pytest.mark.parametrize("way", ["alone", "shared", "packed"])
@pytest.mark.parametrize("shown", ["images", "text", "both"])
def test_logprobs_are_the_models_own(checkpoint: Path, digit_problems: list[Problem], shown: str, way: str) -> None:
    """Prompts of one to four images and of none: padded, alone or several responses behind one, or all in one line."""
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
    encoder = PromptEncoder(AutoProcessor.from_pretrained(checkpoint))
    text = [replace(digit_problems[0], id=str(index), question=f"1+{index}?", images=()) for index in range(2)]
    problems = {"images": digit_problems[:8], "text": text, "both": [text[0], *digit_problems[:8], text[1]]}[shown]
    samples, prompts = samples_of(model, encoder, problems, n=3)
    expected = [own_logprobs(model, prompts[sample.group], sample.response) for sample in samples]
    trained = LogprobModel(model, 0.7, [0, 1])
    packed = way == "packed"
    for rows in plan(samples, 400, share_prompts=way != "alone", packed=packed):
        assert (way != "alone") == any(len(row.members) > 1 for row in rows)
        batch = collate(rows, samples, prompts, pad_token_id=0, packed=packed, multiple=128 if packed else 1)
        logprobs, _ = trained(batch)
        torch.testing.assert_close(
            logprobs, torch.cat([expected[member] for member in batch.members]), atol=1e-5, rtol=0
        )


def test_the_vision_tower_has_gradients_where_no_text_has_an_image(
    checkpoint: Path, digit_problems: list[Problem]
) -> None:
    """Ranks of ZeRO-3 meet in every module's backward pass; what a blank image adds is nothing."""
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32)
    encoder = PromptEncoder(AutoProcessor.from_pretrained(checkpoint))
    samples, prompts = samples_of(model, encoder, [replace(digit_problems[0], question="1+1?", images=())], n=2)
    (rows,) = plan(samples, 400, share_prompts=True)
    logprobs, _ = LogprobModel(model, 1.0, [0, 1])(collate(rows, samples, prompts, pad_token_id=0))
    logprobs.sum().backward()
    gradients = [weight.grad for weight in model.model.visual.parameters()]
    assert all(gradient is not None and not gradient.any() for gradient in gradients)


# The whole way, for the second family.


@pytest.mark.slow
def test_two_rounds_of_qwen3_vl_change_the_weights_and_a_kill_lands_on_the_same_bits(
    server: ForkingServer, tmp_path: Path, digit_problems: list[Problem]
) -> None:
    setup = small_setup(tmp_path, digit_problems, family="qwen3_vl")
    settings = setup.settings(group_size=2, mini_batch_size=2, machine={"save_every": 1, "verify_workers": 1})
    rounds = [setup.schedule(steps, size=4, name=f"round{steps.start}") for steps in (range(2), range(2, 4))]
    first = setup.arguments("first", settings, rounds[0])
    assert server.wait(server.start(first, setup.log("first"))) == 0
    before = setup.folder / "first"
    for out, kill in (("second", None), ("killed", ("mmr1.grpo.policy:Policy.backward", 2, 0.002))):
        command = setup.arguments(out, settings, rounds[1], model=before / "out", state=before / "state-out")
        if kill:
            assert server.wait(server.start(command, setup.log(out), kill)) == -signal.SIGKILL
        assert server.wait(server.start(command, setup.log(out))) == 0
    assert setup.hashes("killed") == setup.hashes("second")
    weights = [
        load_file(folder / "model.safetensors") for folder in (setup.model, before / "out", tmp_path / "second/out")
    ]
    for old, new in itertools.pairwise(weights):
        assert not any(
            torch.equal(old[name], new[name]) for name in ("lm_head.weight", "model.visual.patch_embed.proj.weight")
        )


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_qwen3_vl_goes_through_the_whole_recipe(server: ForkingServer, tmp_path: Path) -> None:
    """SFT, scores, GRPO in rounds, evaluation and report; then another family is added, and its own file changed."""
    project = copy_project(tmp_path)
    recipe = (project / TINY).read_text()
    assert "tiny: {hidden_size" in recipe
    assert "runs:\n  grpo:" in recipe
    recipe = recipe.replace("tiny: {hidden_size", "tiny: {family: qwen3_vl, hidden_size")
    (project / "qwen3.yaml").write_text(recipe.partition("runs:\n")[0] + "runs: {vas: {}}\n")
    snakemake(project, "all", recipe="qwen3.yaml", PATH=server.path)
    results = project / "results/tiny"
    assert (results / "report.html").exists()
    folders = [results / "tiny" / name for name in ("base", "sft/checkpoint", "vas/seed0/round1/checkpoint")]
    for folder in folders:
        check_checkpoint(folder, family="qwen3_vl")
        assert type(AutoProcessor.from_pretrained(folder)).__name__ == "Qwen3VLProcessor"
    weights = [load_file(folder / "model.safetensors")["lm_head.weight"] for folder in folders]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    for record in ("build_tiny_model/tiny", "train_sft/tiny", "train_grpo/tiny/vas/seed0/round1"):
        assert f"mmr1/{FOLDER}/qwen3_vl.py" in read_json(results / f"records/{record}.json")["key"]["code"]["files"]

    members = project / "scripts/mmr1" / FOLDER
    shutil.copy(members / "qwen3_vl.py", members / "another.py")
    assert "Nothing to be done" in snakemake(project, "-n", "all", recipe="qwen3.yaml")
    text = (members / "qwen3_vl.py").read_text()
    (members / "qwen3_vl.py").write_text(text.replace("PATCH = 16", "PATCH = 8 * 2"))
    planned = snakemake(project, "-n", "all", recipe="qwen3.yaml")
    assert all(rule in planned for rule in ("build_tiny_model", "train_sft", "generate_initial", "train_grpo"))
    assert "prepare_data" not in planned
