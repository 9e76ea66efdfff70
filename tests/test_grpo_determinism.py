"""The operations of a step, against those that have no deterministic kernel on a GPU."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from grpo_fixtures import PlainPolicy, learner, random_groups, settings
from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.models.action_space import end_of_sequence
from mmr1.models.family import FOLDER
from mmr1.models.settings import TinyArchitecture
from mmr1.models.tiny import build
from mmr1.plugins import names
from mmr1.rollout.requests import Sampling, group_requests
from mmr1.rollout.transformers_engine import TransformersEngine

# Refused on CUDA by `torch.use_deterministic_algorithms(True)`, by the text of torch 2.13. Sums along a dimension are
# so of floats only, and lookups and scatters have a deterministic kernel that is then taken.
REFUSED = {
    *("avg_pool3d_backward", "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward"),
    *("adaptive_max_pool2d_backward", "fractional_max_pool2d_backward", "fractional_max_pool3d_backward"),
    *("max_unpool2d", "max_unpool3d", "upsample_linear1d_backward", "upsample_bilinear2d_backward"),
    *("upsample_bicubic2d_backward", "upsample_trilinear3d_backward", "reflection_pad1d_backward"),
    *("reflection_pad2d_backward", "reflection_pad3d_backward", "nll_loss2d_forward", "_ctc_loss_backward"),
    *("put", "put_", "histc", "bincount", "median", "grid_sampler_2d_backward", "grid_sampler_3d_backward"),
}
OF_FLOATS = {"cumsum", "cumsum_", "cumprod", "logcumsumexp"}


class Recorded(TorchDispatchMode):
    """The names of the operations that run in the body."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Sequence[type], args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        scans = name in OF_FLOATS and args[0].is_floating_point()
        self.names.add(f"{name} of floats" if scans else name)
        return func(*args, **(kwargs or {}))

    def refused(self) -> set[str]:
        return {name for name in self.names if name in REFUSED or name.endswith(" of floats")}


@pytest.fixture(scope="module", params=names(FOLDER))
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of each family."""
    folder = tmp_path_factory.mktemp(request.param) / "checkpoint"
    build(folder, TinyArchitecture.model_validate({"family": request.param}), seed=0)
    return folder


@pytest.fixture
def strict() -> Iterator[None]:
    """Torch raises at an operation without a deterministic kernel on this device."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_the_recorder_sees_what_would_be_refused() -> None:
    values = torch.ones(3, requires_grad=True)
    with Recorded() as recorded:
        values.cumsum(0).sum().backward()
        torch.arange(3).cumsum(0)
        values.detach().histc()
    assert recorded.refused() == {"cumsum of floats", "histc"}


@pytest.mark.usefixtures("strict")
@pytest.mark.parametrize("loss", names("grpo/losses"))
@pytest.mark.parametrize("layout", [{"pack_rows": True}, {"share_prompts": False}], ids=["packed", "alone"])
def test_a_step_takes_operations_that_have_a_deterministic_kernel(
    checkpoint: Path, digit_problems: list[Problem], loss: str, layout: dict[str, bool]
) -> None:
    """Two updates with a reference, a truncated ratio of importance and AdamW."""
    chosen = settings(
        loss={"name": loss, "kl_coefficient": 0.01},
        mini_batch_size=2,
        micro_batch_tokens=200,
        importance_cap=2.0,
        **layout,
    )
    policy, reference = (PlainPolicy(checkpoint, chosen, [0, 1]) for _ in range(2))
    optimizer = torch.optim.AdamW(policy.hf.parameters())
    end = end_of_sequence(policy.processor.tokenizer)
    groups = random_groups(digit_problems[:4], 4, 3, range(8, 100), end, longest=16)
    with Recorded() as recorded:
        learner(policy, chosen, reference).learn(0, groups)
        for name, weight in policy.hf.named_parameters():
            weight.grad = policy.gradients[0].get(name)
        optimizer.step()
    assert {"embedding_dense_backward", "index_put", "_log_softmax", "addcdiv_"} <= recorded.names
    assert recorded.refused() == set()


@pytest.mark.usefixtures("strict")
def test_so_does_sampling_with_transformers(checkpoint: Path, digit_problems: list[Problem]) -> None:
    """Within top-p, which adds probabilities up along the vocabulary."""
    policy = PlainPolicy(checkpoint, settings())
    engine = TransformersEngine.from_folder(checkpoint, PromptEncoder(policy.processor))
    requests = [request for problem in digit_problems[:2] for request in group_requests(problem, 4, 0, "test")]
    with Recorded() as recorded:
        engine.generate(requests, Sampling(1.0, 8, top_p=0.9))
    assert "cumsum" in recorded.names
    assert recorded.refused() == set()
