"""The memory estimates of GRPO and SFT: what a small model really uses, the published sizes, and who is refused."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AttentionInterface, AutoModelForImageTextToText, Qwen2_5_VLConfig
from transformers.loss.loss_utils import ForCausalLMLoss

from mmr1.grpo.memory import check_fits, estimate
from mmr1.grpo.settings import GRPOSettings
from mmr1.models.family import family
from mmr1.models.settings import TinyArchitecture
from mmr1.models.shapes import Shape, shape_of, tiny_shape
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json
from mmr1.sft import memory as sft_memory
from mmr1.sft.settings import SFTSettings
from mmr1.training.division import on_nodes
from mmr1.training.memory import text_layer_bytes, vision_block_bytes

STATIC = ("policy weights", "gradients", "optimizer state", "reference weights")

SMALL = TinyArchitecture(hidden_size=256, intermediate_size=768, layers=6)  # of `measured_memory.py`

DIVISIONS = Path(__file__).parents[1] / "config" / "deepspeed"

RELEASED = family("qwen2_5_vl").RELEASED
SIZES = ("3b", "7b", "32b")


def released(size: str) -> dict[str, Any]:
    return RELEASED[f"Qwen/Qwen2.5-VL-{size.upper()}-Instruct"]


def shape(size: str) -> Shape:
    """The sizes of a released model."""
    return shape_of(released(size), family("qwen2_5_vl"))


def config_of(size: str, depth: int = 32, **text: int) -> Qwen2_5_VLConfig:
    """The configuration of a released model, or of one with fewer layers."""
    values = released(size)
    rotary = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    return Qwen2_5_VLConfig(
        text_config={**values["text_config"], "rope_parameters": rotary, **text},
        vision_config={**values["vision_config"], "depth": depth},
        tie_word_embeddings=values["tie_word_embeddings"],
    )


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "way"), [(2, "plain"), (3, "plain"), (2, "checkpointing")])
def test_the_estimate_is_what_a_small_model_uses(tmp_path: Path, stage: int, way: str) -> None:
    program = Path(__file__).with_name("measured_memory.py")
    command = [sys.executable, str(program), str(tmp_path), str(stage), way]
    paths = f"{program.parent}:{program.parents[1] / 'scripts'}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    measured = json.loads(printed.splitlines()[-1])
    assert sum(measured["parts"][name] for name in STATIC) == pytest.approx(measured["held"], rel=0.1)
    kept = measured["parts"]["activations"]
    if way == "checkpointing":  # what is computed again is not there yet when the forward pass is done
        kept -= 2048 * text_layer_bytes(tiny_shape(SMALL), width=4)
    assert kept == pytest.approx(measured["activations"], rel=0.3)  # a tenth of the tokens is nobody's, half no target


def saved_bytes_of(module: torch.nn.Module, run: Callable[[], torch.Tensor]) -> int:
    """The bytes of the tensors that a forward pass keeps for the backward pass, without the module's own weights."""
    own = {parameter.untyped_storage()._cdata for parameter in module.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(storage.nbytes() for storage in kept.values())


class FlashAttention(torch.autograd.Function):
    """What FlashAttention keeps for its backward pass; it computes nothing."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:3], dtype=torch.float32))
        return out


AttentionInterface.register(
    "kept",
    lambda module, query, key, value, attention_mask=None, **_: (
        FlashAttention.apply(query, key, value).transpose(1, 2),
        None,
    ),
)


@pytest.mark.parametrize("size", SIZES)
def test_what_a_token_and_a_patch_leave_for_the_backward_pass(size: str) -> None:
    """Of transformers' own layers at the paper's sizes, on meta tensors: what a second one adds, within a tenth."""
    tokens, patches = 256, 1024
    kept: dict[str, list[int]] = {"text": [], "vision": []}
    for count in (1, 2):
        config = config_of(size, num_hidden_layers=count, depth=count)
        with torch.device("meta"):
            model = AutoModelForImageTextToText.from_config(
                config, dtype=torch.bfloat16, attn_implementation="kept"
            ).model
            inputs = torch.zeros(1, tokens, dtype=torch.long)
            places = torch.zeros(3, 1, tokens, dtype=torch.long)
            turns = (torch.zeros(patches, 80),) * 2
            image = torch.zeros(patches, 1280, dtype=torch.bfloat16, requires_grad=True)

        def read(model=model, inputs=inputs, places=places) -> torch.Tensor:
            ready = {"full_attention": None}  # a mask, which is none
            return model.language_model(inputs, position_ids=places, attention_mask=ready, use_cache=False)[0]

        def look(model=model, image=image, turns=turns) -> torch.Tensor:
            for block in model.visual.blocks:
                image = block(image, cu_seqlens=torch.tensor([0, patches]), position_embeddings=turns)
            return image

        kept["text"].append(saved_bytes_of(model.language_model, read))
        kept["vision"].append(saved_bytes_of(model.visual, look))
    a_token, a_patch = (after - before for before, after in kept.values())
    assert text_layer_bytes(shape(size), width=2) == pytest.approx(a_token / tokens, rel=0.1)
    assert vision_block_bytes(shape(size), width=2) == pytest.approx(a_patch / patches, rel=0.1)


def test_the_bytes_that_are_in_the_documents() -> None:
    """kB per token and layer, and per patch and block."""
    text = [round(text_layer_bytes(shape(size), 2) / 1000) for size in SIZES]
    assert text == [130, 225, 328]
    assert round(vision_block_bytes(shape("7b"), 2) / 1000) == 66


def test_the_seven_billion_model_on_eight_ranks() -> None:
    """Under ZeRO-3 an eighth each of: 2 bytes per weight, 12 for the optimizer, 4 for gradients."""
    weights = shape("7b").total
    assert weights == 8_292_166_656  # as the released checkpoint's index says
    zero3 = {"zero_optimization": {"stage": 3, "reduce_bucket_size": 0}}
    needed = estimate(shape("7b"), GRPOSettings(), zero3, ranks=8, device_bytes=80 * 2**30)
    assert needed.held["policy weights"] == needed.held["reference weights"] == weights * 2 // 8
    assert needed.held["optimizer state"] == weights * 12 // 8
    assert needed.training["gradients"] == weights * 4 // 8
    assert needed.training["weights gathered (ZeRO-3)"] == 2 * 2 * 10**9  # of the policy and of the reference
    assert needed.sampling["engine (vLLM)"] == round(0.6 * 80 * 2**30)
    offload = {"zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}}}
    beside = estimate(shape("7b"), GRPOSettings(), offload, ranks=8)
    assert beside.host == {"optimizer state": weights * 12 // 8, "gradients": weights * 4 // 8}
    assert "optimizer state" not in beside.held


def test_a_job_that_cannot_fit_is_refused_and_told_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """3B whole on one device of 80 GiB, and 7B on eight without computing anything again."""
    device = 80 * 2**30
    alone = shape("3b"), GRPOSettings(), read_json(DIVISIONS / "zero2.json"), 1, device
    with pytest.raises(UserError) as caught:
        check_fits(*alone)
    said = str(caught.value)
    assert said.startswith("memory: expected at most the device's 80.0 GiB, found an estimate of ")
    assert "while sampling (engine (vLLM) 48.0 GiB, optimizer state 42.0 GiB, policy weights 7.0 GiB)" in said
    assert "would fit: 4 ranks (" in said
    plain = GRPOSettings(gradient_checkpointing=False)
    with pytest.raises(UserError, match=r"while training \(activations .* would fit: gradient_checkpointing: true \("):
        check_fits(shape("7b"), plain, read_json(DIVISIONS / "zero3.json"), 8, device)
    monkeypatch.setenv("MMR1_MEMORY", "warn")
    assert check_fits(*alone)[-1].startswith("  warning: memory: expected at most the device's 80.0 GiB")


@pytest.mark.parametrize(
    ("size", "division", "ranks"),
    [("3b", "zero3", 8), ("7b", "zero3", 8), ("32b", "zero3", 32), ("3b", "zero3-offload", 1)],
)
def test_the_jobs_of_the_recipes_fit_into_80_gigabytes(size: str, division: str, ranks: int) -> None:
    first, *parts = check_fits(
        shape(size), GRPOSettings(), read_json(DIVISIONS / f"{division}.json"), ranks, 79 * 2**30
    )
    assert first.startswith("memory per rank, estimated: ")
    assert any("training: activations of images: " in part for part in parts)


def test_fine_tuning_seven_billion_weights_on_eight_ranks() -> None:
    """Packed and frozen as in the recipe, and as it would be with whole logits and all trained."""
    zero3, weights = read_json(DIVISIONS / "zero3.json"), shape("7b")
    packed = SFTSettings(packing=16_384, freeze=["vision", "projector"])
    needed = sft_memory.estimate(weights, packed, zero3, ranks=8, device_bytes=80 * 2**30)
    trained = weights.total - weights.vision - weights.merger
    assert needed.held["policy weights"] == round(weights.total * 2 / 8)
    assert needed.held["optimizer state"] == round(trained * 12 / 8)
    assert needed.training["logits"] == 3 * 4 * 2**29
    assert "activations of images" not in needed.training
    assert needed.peaks.keys() == {"training"}
    plain = sft_memory.estimate(weights, SFTSettings(), zero3, ranks=8, device_bytes=80 * 2**30)
    assert plain.training["logits"] == 16_384 * 152_064 * 12
    assert plain.training["activations of images"] > 0


def test_a_division_that_leaves_sizes_to_deepspeed_has_its_defaults() -> None:
    automatic = {"zero_optimization": {"stage": 3, "reduce_bucket_size": "auto", "offload_optimizer": None}}
    plain = {"zero_optimization": {"stage": 3}}
    first, second = (sft_memory.estimate(shape("7b"), SFTSettings(), one, ranks=8) for one in (automatic, plain))
    assert first == second
    assert first.training["gradients being reduced"] == 2 * 5 * 10**8
    alone = sft_memory.estimate(shape("7b"), SFTSettings(), {}, ranks=1)
    assert alone.held["policy weights"] == 2 * shape("7b").total


def test_logits_that_are_not_chunked_have_twelve_bytes_each_at_their_peak() -> None:
    """bf16 as the head makes them, float32 for the loss, and a gradient of each: what transformers' loss leaves."""
    tokens, vocabulary = 64, 1000
    with torch.device("meta"):
        logits = torch.zeros(1, tokens, vocabulary, dtype=torch.bfloat16, requires_grad=True)
        labels = torch.zeros(1, tokens, dtype=torch.long)
        kept = saved_bytes_of(
            torch.nn.Module(), lambda: ForCausalLMLoss(logits, labels, vocabulary)
        )  # the logarithms of a softmax, for the backward pass
    assert kept == pytest.approx(tokens * vocabulary * 4, rel=0.1)
    assert sft_memory._logits(shape("7b"), 2, tokens)["logits"] == tokens * 152_064 * (4 + 4 + 2 + 2)


def test_a_fine_tuning_that_cannot_fit_is_refused_and_told_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """7B on eight devices of 40 GiB with whole logits; and without DeepSpeed, where each rank holds everything."""
    device, zero3 = 40 * 2**30, read_json(DIVISIONS / "zero3.json")
    with pytest.raises(UserError, match=r"found an estimate of .* while training \(logits .*would fit: ") as caught:
        sft_memory.check_fits(shape("7b"), SFTSettings(freeze=["vision"]), zero3, 8, device)
    assert "group_by_length: true (" in str(caught.value)
    with pytest.raises(UserError, match=r"would fit: .*config/deepspeed/zero3"):
        sft_memory.check_fits(shape("7b"), SFTSettings(packing=16_384), None, 8, 2 * device)
    monkeypatch.setenv("MMR1_MEMORY", "warn")
    assert "warning: memory" in sft_memory.check_fits(shape("7b"), SFTSettings(), zero3, 8, device)[-1]


@pytest.mark.parametrize(("size", "ranks", "gibibytes"), [("3b", 32, 19), ("7b", 32, 26), ("32b", 64, 47)])
def test_the_fine_tunings_of_the_paper_fit_into_80_gigabytes(size: str, ranks: int, gibibytes: int) -> None:
    """On nodes of eight, each of which has a copy of the weights."""
    division = on_nodes(read_json(DIVISIONS / "zero3.json"), ranks, 8)
    packed = SFTSettings(packing=16_384, freeze=["vision", "projector"])
    needed = sft_memory.estimate(shape(size), packed, division, ranks, 80 * 2**30)
    copy = needed.training["the node's copy of the weights (ZeRO-3)"]
    assert copy == round(shape(size).total * 2 / 8)
    assert round(needed.peak / 2**30) == gibibytes
