"""The vision tower: few attention calls at the sizes of real images, and to the bit what transformers computes."""

import ast
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel
from transformers.vision_utils import get_vision_position_ids, get_vision_window_index

from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.data.sources import digits
from mmr1.models import vision_attention
from mmr1.models.family import FOLDER, family_of
from mmr1.models.load import load_model
from mmr1.models.settings import TinyArchitecture
from mmr1.models.tiny import build
from mmr1.plugins import names
from mmr1.sft.conversations import Collator, Conversations

ROOT = Path(__file__).parents[1]
# Height and width in pixels, as Qwen2.5-VL's processor makes them; in patches of 14: 32 × 48, 52 × 72, 72 × 72.
IMAGES = ((448, 672), (728, 1008), (1008, 1008))


@pytest.fixture(scope="module", params=names(FOLDER))
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of each family, with blocks that attend within windows and to whole images."""
    folder = tmp_path_factory.mktemp(request.param) / "checkpoint"
    build(folder, TinyArchitecture.model_validate({"family": request.param}), seed=0)
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the queries of each attention call of a tower, in order; nothing is computed."""
    shapes: list[tuple[int, ...]] = []

    def count(query: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        shapes.append(tuple(query.shape))
        return query

    monkeypatch.setattr(vision_attention, "scaled_dot_product_attention", count)
    return shapes


def pixels_of(model: PreTrainedModel, *images: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Random pixels of images of so many patches, and their grid, as the processor gives them."""
    vision = model.config.vision_config
    grid = torch.tensor([[1, height, width] for height, width in images])
    width = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    return torch.randn(int(grid.prod(1).sum()), width, generator=torch.Generator().manual_seed(0)), grid


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_of_real_size_takes_at_most_four_calls_a_block(
    checkpoint: Path, calls: list[tuple[int, ...]], image: tuple[int, int]
) -> None:
    model = load_model(checkpoint, torch.float32)
    pixels, grid = pixels_of(model, (image[0] // 14, image[1] // 14))
    with torch.no_grad():
        family_of(model.config).image_features(model, pixels, grid)
    blocks = model.config.vision_config.depth
    assert blocks <= len(calls) <= 4 * blocks
    assert sum(batch * length for batch, _, length, _ in calls) == blocks * len(pixels)  # every patch once a block


def test_images_of_one_size_take_as_many_calls_as_one(checkpoint: Path, calls: list[tuple[int, ...]]) -> None:
    model = load_model(checkpoint, torch.float32)
    counts = []
    for images in (1, 8):
        calls.clear()
        with torch.no_grad():
            family_of(model.config).image_features(model, *pixels_of(model, *[(16, 20)] * images))
        counts.append(len(calls))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("images", [[(32, 48)], [(10, 20), (18, 14), (10, 20), (2, 2)]], ids=["one", "several"])
def test_features_and_gradients_are_transformers_own_to_the_bit(
    checkpoint: Path, images: list[tuple[int, int]]
) -> None:
    plain = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32, attn_implementation="sdpa")
    results = []
    for model in (plain, load_model(checkpoint, torch.float32)):
        pixels, grid = pixels_of(model, *images)
        pixels.requires_grad_()
        features = torch.cat([torch.cat(one, 1) for one in family_of(model.config).image_features(model, pixels, grid)])
        (features * torch.randn(features.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
        tower = family_of(model.config).vision_tower(model)
        results.append([features, pixels.grad, *(weight.grad for weight in tower.parameters())])
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("images", [[(32, 48)], [(10, 20), (18, 14), (10, 20), (2, 2)]], ids=["one", "several"])
def test_a_tower_is_given_the_positions_that_transformers_finds(
    checkpoint: Path, images: list[tuple[int, int]]
) -> None:
    model = load_model(checkpoint, torch.float32)
    tower = family_of(model.config).vision_tower(model)
    given: dict[str, Any] = {}
    tower.register_forward_pre_hook(lambda _, __, kwargs: given.update(kwargs), with_kwargs=True)  # after ours
    pixels, grid = pixels_of(model, *images)
    with torch.no_grad():
        family_of(model.config).image_features(model, pixels, grid)
    assert torch.equal(given["position_ids"], get_vision_position_ids(grid, tower.spatial_merge_size))
    if hasattr(tower, "window_size"):
        sides = tower.spatial_merge_size, tower.window_size, tower.patch_size
        order, bounds = get_vision_window_index(grid, *sides)
        assert torch.equal(given["window_index"], order)
        assert torch.equal(given["cu_window_seqlens"], bounds)
        assert given["cu_window_seqlens"].dtype == bounds.dtype


def test_sft_takes_the_same_way(
    checkpoint: Path, digit_problems: list[Problem], calls: list[tuple[int, ...]], tmp_path: Path
) -> None:
    """The model's own forward pass over a batch of conversations; what is saved does not say how it attended."""
    model = load_model(checkpoint, torch.float32)
    encoder = PromptEncoder(AutoProcessor.from_pretrained(checkpoint))
    rows = [(problem, digits.worked_response(problem)) for problem in digit_problems[:6]]
    collator = pickle.loads(pickle.dumps(Collator(0, model)))  # as a loader's process gets it where it is not forked
    batch = collator(Conversations(rows, encoder, cutoff=256).__getitems__(list(range(6))))
    model(**batch)
    assert len(calls) == model.config.vision_config.depth  # each digit is a window and an image of one length
    model.save_pretrained(tmp_path)
    assert "attn" not in (tmp_path / "config.json").read_text()


def test_a_model_is_loaded_for_a_forward_pass_in_one_place() -> None:
    places = []
    for path in (ROOT / "scripts").rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        if any(ast.unparse(call) == "AutoModelForImageTextToText.from_pretrained" for call in calls):
            places.append(path.name)
    assert places == ["load.py"]


def test_the_layout_puts_equal_lengths_together_and_back() -> None:
    found = vision_attention.layout(torch.tensor([0, 4, 6, 10, 11, 13]))
    assert found.groups == [(1, 1), (2, 2), (2, 4)]
    assert found.order is not None
    assert found.inverse is not None
    assert found.order.tolist() == [10, 4, 5, 11, 12, 0, 1, 2, 3, 6, 7, 8, 9]
    assert found.order[found.inverse].tolist() == list(range(13))
    assert vision_attention.layout(torch.tensor([0, 4, 8])) == ([(2, 4)], None, None)
