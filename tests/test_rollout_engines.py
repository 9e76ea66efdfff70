"""Both engines, for real: the same greedy tokens, draws that hang on their own seed, and honest log-probabilities."""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import chisquare
from transformers import AutoModelForImageTextToText, PreTrainedModel

from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.models.action_space import keep_top_p, policy_logits, suppressed_tokens
from mmr1.models.checkpoints import load_processor
from mmr1.models.family import FOLDER
from mmr1.models.settings import TinyArchitecture
from mmr1.models.tiny import build
from mmr1.plugins import Plugin, names
from mmr1.plumbing.errors import UserError
from mmr1.rollout import settings as rollout_settings
from mmr1.rollout.engines import Limits
from mmr1.rollout.make import make_engine
from mmr1.rollout.requests import Engine, Request, Rollout, Sampling, generate_blocks, group_requests
from mmr1.rollout.transformers_engine import TransformersEngine
from mmr1.rollout.vllm_engine import VllmEngine

SAMPLED = Sampling(temperature=0.8, max_tokens=24)
GREEDY = Sampling(temperature=0.0, max_tokens=24)
MAX_PROMPT_TOKENS = 150

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module", params=names(FOLDER))
def tiny_model_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of each family."""
    folder = tmp_path_factory.mktemp(request.param) / "checkpoint"
    build(folder, TinyArchitecture.model_validate({"family": request.param}), seed=0)
    return folder


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> PreTrainedModel:
    """The weights that both engines start from, for plain forward passes. Never changed."""
    return AutoModelForImageTextToText.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def encoder(tiny_model_dir: Path) -> PromptEncoder:
    # A bound on pixels other than the checkpoint's, so that an engine that ignores it is found out.
    return PromptEncoder(load_processor(tiny_model_dir), "Think first.", max_pixels=6 * 28 * 28)


def chosen(name: str) -> Plugin:
    """An engine as a recipe names it."""
    return rollout_settings.Rollout(engine=name).engine


@pytest.fixture(scope="module")
def transformers_engine(tiny_model_dir: Path, encoder: PromptEncoder) -> TransformersEngine:
    return TransformersEngine.from_folder(tiny_model_dir, encoder, max_prompt_tokens=MAX_PROMPT_TOKENS)


@pytest.fixture(scope="module")
def vllm_engine(tiny_model_dir: Path, encoder: PromptEncoder) -> Iterator[VllmEngine]:
    threads = torch.get_num_threads()
    engine = make_engine(chosen("vllm"), tiny_model_dir, encoder, Limits(4, 24, MAX_PROMPT_TOKENS))
    assert isinstance(engine, VllmEngine)
    yield engine
    engine.close()
    assert not torch.distributed.is_initialized()
    torch.set_num_threads(threads + 1)
    assert torch.get_num_threads() == threads + 1
    torch.set_num_threads(threads)


@pytest.fixture(params=["transformers", "vllm"])
def engine(request: pytest.FixtureRequest, tiny_model_dir: Path) -> Engine:  # so that each family has its engines
    return request.getfixturevalue(f"{request.param}_engine")


@pytest.fixture(scope="module")
def problems(digit_problems: list[Problem]) -> list[Problem]:
    """One to four digits, none at all, and one image that is too large and not square."""
    wide = Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 300, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    wide.save(buffer, format="PNG")
    first = digit_problems[0]
    return [
        *digit_problems[:8],
        replace(first, id="text", question="How much is 1+1?", images=()),
        replace(first, id="wide", question="<image>What is this?", images=(buffer.getvalue(),)),
    ]


@pytest.fixture
def changed_weights(engine: Engine, model: torch.nn.Module) -> Iterator[Callable[[Weights], None]]:
    """Gives an engine other weights for one test."""
    yield lambda weights: engine.load_weights(weights.items())
    engine.load_weights(model.state_dict().items())


def requests_for(problems: list[Problem], n: int) -> list[Request]:
    return [request for problem in problems for request in group_requests(problem, n, 0, "test")]


def tokens(rollouts: list[Rollout]) -> list[list[int]]:
    return [rollout.token_ids.tolist() for rollout in rollouts]


def perturbed(model: torch.nn.Module) -> Weights:
    noise = torch.Generator().manual_seed(1)
    return {
        name: weight + 0.02 * torch.randn(weight.shape, generator=noise) for name, weight in model.state_dict().items()
    }


def plain_logits(
    model: torch.nn.Module, encoder: PromptEncoder, problem: Problem, response: np.ndarray
) -> torch.Tensor:
    """The model's logits before each token of a response, [L, V], by one forward pass without cache or padding."""
    prompt = encoder.encode(problem)
    ids = torch.cat([prompt.input_ids, torch.as_tensor(response, dtype=torch.long)])[None]
    with torch.no_grad():
        out = model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=prompt.pixel_values,
            image_grid_thw=prompt.image_grid_thw,
            mm_token_type_ids=(ids == model.config.image_token_id).int(),
        )
    return out.logits[0, len(prompt.input_ids) - 1 : -1]


def suppressed(model: torch.nn.Module, encoder: PromptEncoder) -> list[int]:
    return suppressed_tokens(encoder.processor.tokenizer, model.config)


def test_greedy_tokens_agree_before_and_after_a_weight_update(
    transformers_engine: TransformersEngine,
    vllm_engine: VllmEngine,
    problems: list[Problem],
    model: PreTrainedModel,
) -> None:
    engines = (transformers_engine, vllm_engine)
    requests = requests_for(problems, 1)
    before = [tokens(engine.generate(requests, GREEDY)) for engine in engines]
    for engine in engines:
        engine.load_weights(perturbed(model).items())
    after = [tokens(engine.generate(requests, GREEDY)) for engine in engines]
    for engine in engines:
        engine.load_weights(model.state_dict().items())
    restored = [tokens(engine.generate(requests, GREEDY)) for engine in engines]
    assert before[0] == before[1]
    assert after[0] == after[1]
    assert before[0] != after[0]
    assert restored == before


def test_greedy_tokens_are_those_of_transformers_generate(
    engine: Engine, problems: list[Problem], encoder: PromptEncoder, model: PreTrainedModel
) -> None:
    for problem, rollout in zip(problems, engine.generate(requests_for(problems, 1), GREEDY), strict=True):
        prompt = encoder.encode(problem)
        images = {"pixel_values": prompt.pixel_values, "image_grid_thw": prompt.image_grid_thw}
        expected = model.generate(
            input_ids=prompt.input_ids[None],
            attention_mask=torch.ones_like(prompt.input_ids)[None],
            **(images if problem.images else {}),
            mm_token_type_ids=(prompt.input_ids == model.config.image_token_id).int()[None],
            do_sample=False,
            suppress_tokens=suppressed(model, encoder),
            max_new_tokens=GREEDY.max_tokens,
        )
        assert rollout.token_ids.tolist() == expected[0, len(prompt.input_ids) :].tolist()


def test_a_rollout_depends_on_its_own_seed_only(engine: Engine, problems: list[Problem]) -> None:
    requests = requests_for(problems, 3)
    together = tokens(engine.generate(requests, SAMPLED))
    assert tokens(engine.generate(requests[::-1], SAMPLED))[::-1] == together
    alone = [tokens(engine.generate([request], SAMPLED))[0] for request in requests[::4]]
    assert alone == together[::4]


def test_seeds_tell_the_rollouts_of_a_group_apart(engine: Engine, problems: list[Problem]) -> None:
    group = engine.generate(requests_for(problems[:1], 16), SAMPLED)
    assert [rollout.rollout for rollout in group] == list(range(16))
    assert len({rollout.seed for rollout in group}) == 16
    assert len({tuple(rollout.token_ids) for rollout in group}) == 16


def test_first_tokens_follow_the_softmax(
    engine: Engine, problems: list[Problem], encoder: PromptEncoder, model: PreTrainedModel
) -> None:
    """Chi-square over 600 rollouts of one problem against the probabilities of a plain forward pass, at T = 0.5."""
    sampling = Sampling(temperature=0.5, max_tokens=1)
    drawn = [rollout.token_ids[0] for rollout in engine.generate(requests_for(problems[:1], 600), sampling)]
    logits = plain_logits(model, encoder, problems[0], np.array([0]))
    expected = policy_logits(logits, suppressed(model, encoder), 0.5)[0].softmax(-1).double().numpy() * len(drawn)
    found = np.bincount(drawn, minlength=len(expected))
    often = expected >= 5
    expected, found = (np.append(values[often], values[~often].sum()) for values in (expected, found))
    assert chisquare(found, expected * found.sum() / expected.sum()).pvalue > 0.001


def test_ends_and_texts(engine: Engine, problems: list[Problem], encoder: PromptEncoder) -> None:
    tokenizer = encoder.processor.tokenizer
    rollouts = engine.generate(requests_for(problems, 16), SAMPLED)
    assert {rollout.finish_reason for rollout in rollouts} == {"stop", "length"}
    for rollout in rollouts:
        *body, last = rollout.token_ids.tolist()
        assert tokenizer.eos_token_id not in body
        assert (rollout.finish_reason == "stop") == (last == tokenizer.eos_token_id)
        assert rollout.finish_reason == "stop" or len(rollout.token_ids) == SAMPLED.max_tokens
        kept = body if rollout.finish_reason == "stop" else [*body, last]
        assert rollout.text == tokenizer.decode(kept)
        assert rollout.token_ids.dtype == np.int32
        assert rollout.logprobs.shape == rollout.token_ids.shape


EDGE = 1e-5  # of probability


@pytest.mark.parametrize("sampling", [SAMPLED, GREEDY, replace(SAMPLED, top_p=0.5)])
def test_logprobs_are_those_of_a_plain_forward_pass(
    engine: Engine,
    problems: list[Problem],
    encoder: PromptEncoder,
    model: PreTrainedModel,
    sampling: Sampling,
) -> None:
    requests = requests_for(problems, 2)
    for request, rollout in zip(requests, engine.generate(requests, sampling), strict=True):
        logits = plain_logits(model, encoder, request.problem, rollout.token_ids)
        policy = policy_logits(logits, suppressed(model, encoder), sampling.temperature)
        # A token at the very edge of the nucleus may be in or out: engines differ in the last bits of probabilities.
        edges = (sampling.top_p,) if sampling.top_p == 1 else (sampling.top_p - EDGE, sampling.top_p + EDGE)
        nuclei = [policy if edge == 1 else keep_top_p(policy, edge) for edge in edges]
        ids = torch.as_tensor(rollout.token_ids, dtype=torch.long)[:, None]
        expected = [nucleus.log_softmax(-1).gather(1, ids)[:, 0].numpy() for nucleus in nuclei]
        nearest = np.min([np.abs(rollout.logprobs - one) for one in expected], axis=0)
        np.testing.assert_allclose(nearest, 0, atol=1e-4)


def test_a_narrow_nucleus_is_greedy(engine: Engine, problems: list[Problem]) -> None:
    requests = requests_for(problems[:4], 2)
    narrow = Sampling(temperature=1.0, max_tokens=12, top_p=1e-6)
    assert tokens(engine.generate(requests, narrow)) == tokens(
        engine.generate(requests, replace(GREEDY, max_tokens=12))
    )


@pytest.mark.parametrize("sampling", [SAMPLED, GREEDY])
def test_special_tokens_are_never_sampled(
    engine: Engine,
    problems: list[Problem],
    encoder: PromptEncoder,
    model: PreTrainedModel,
    changed_weights: Callable[[Weights], None],
    sampling: Sampling,
) -> None:
    """With a head that wants nothing but image or video tokens, whatever the hidden state."""
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    direction = torch.randn(weights["lm_head.weight"].shape[1], generator=torch.Generator().manual_seed(0))
    weights["lm_head.weight"][model.config.image_token_id] = 100 * direction
    weights["lm_head.weight"][model.config.video_token_id] = -100 * direction
    forcing = type(model)(model.config).eval()
    forcing.load_state_dict(weights)
    wanted = plain_logits(forcing, encoder, problems[0], np.array([20, 21, 22])).argmax(-1)
    assert set(wanted.tolist()) <= {model.config.image_token_id, model.config.video_token_id}

    changed_weights(weights)
    sampled = {token for rollout in engine.generate(requests_for(problems, 4), sampling) for token in rollout.token_ids}
    assert sampled.isdisjoint(suppressed(model, encoder))


def test_sleep_and_wake_change_nothing(engine: Engine, model: PreTrainedModel, problems: list[Problem]) -> None:
    requests = requests_for(problems[:2], 2)
    before = tokens(engine.generate(requests, SAMPLED))
    engine.sleep()
    engine.wake()
    engine.load_weights(model.state_dict().items())
    assert tokens(engine.generate(requests, SAMPLED)) == before


def test_blocks_are_what_one_call_samples(engine: Engine, problems: list[Problem]) -> None:
    """To the bit: a rollout hangs on its own seed, whatever runs beside it."""
    requests = requests_for(problems, 4)
    blocks = {7: requests[:12], 3: requests[12:20], 9: [], 8: requests[20:]}
    found = dict(generate_blocks(engine, blocks, SAMPLED))
    assert found.keys() == blocks.keys()
    for sampled, expected in zip(found[7] + found[3] + found[8], engine.generate(requests, SAMPLED), strict=True):
        assert (sampled.problem_id, sampled.seed, sampled.text) == (expected.problem_id, expected.seed, expected.text)
        np.testing.assert_array_equal(sampled.token_ids, expected.token_ids)


def test_a_prompt_that_is_too_long_is_refused(engine: Engine, problems: list[Problem]) -> None:
    long = replace(problems[0], id="long", question="<image>" + "x" * 200)
    with pytest.raises(UserError, match="problem long: expected a prompt of at most 150 tokens, found 2"):
        engine.generate(requests_for([problems[1], long], 1), GREEDY)


def test_more_images_than_announced_are_refused(vllm_engine: VllmEngine, problems: list[Problem]) -> None:
    many = replace(problems[0], id="many", question="<image>" * 5, images=problems[0].images * 5)
    with pytest.raises(UserError, match="problem many: images: expected at most 4, found 5"):
        vllm_engine.generate(requests_for([many], 1), GREEDY)


def test_prompt_length_without_pixels(encoder: PromptEncoder, problems: list[Problem]) -> None:
    for problem in problems:
        assert encoder.length(problem) == len(encoder.encode(problem).input_ids)


def test_notes_name_the_engine(engine: Engine) -> None:
    assert engine.notes()["engine"] in ("transformers", "vllm")
    assert engine.notes()["dtype"] == "float32"


def test_missing_weights(tmp_path: Path, encoder: PromptEncoder) -> None:
    for name in ("transformers", "vllm"):
        with pytest.raises(UserError, match="expected a checkpoint"):
            make_engine(chosen(name), tmp_path, encoder, Limits(1, 1))


def test_a_context_that_is_too_long(tiny_model_dir: Path, encoder: PromptEncoder) -> None:
    with pytest.raises(
        UserError, match="at most 1024 tokens together, the model's context, found bounds of 1000 and 25"
    ):
        make_engine(chosen("transformers"), tiny_model_dir, encoder, Limits(1, 25, 1000))


# What only the transformers engine promises.


def test_equal_requests_make_equal_bytes(transformers_engine: TransformersEngine, problems: list[Problem]) -> None:
    first, second = (transformers_engine.generate(requests_for(problems, 4), SAMPLED) for _ in range(2))
    assert all(a.logprobs.tobytes() == b.logprobs.tobytes() for a, b in zip(first, second, strict=True))


def test_batches_and_dropping_change_no_token(
    model: PreTrainedModel,
    encoder: PromptEncoder,
    problems: list[Problem],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Groups larger than a batch are split, and finished rows are dropped at once or never: the tokens stay."""
    requests = [request for problem in problems[-4:] for request in group_requests(problem, 3, 0, "drop")]
    expected = tokens(TransformersEngine(model, encoder).generate(requests, SAMPLED))
    assert tokens(TransformersEngine(model, encoder, batch_size=2).generate(requests, SAMPLED)) == expected
    for share in (0.001, 2.0):
        monkeypatch.setattr("mmr1.rollout.transformers_engine.DROP_AT", share)
        assert tokens(TransformersEngine(model, encoder).generate(requests, SAMPLED)) == expected


def test_a_live_module_is_left_as_it_was(model: PreTrainedModel, tiny_model_dir: Path, problems: list[Problem]) -> None:
    """Sampling from the module that is being trained leaves its mode, attention, gradients and outputs alone."""
    encoder = PromptEncoder(load_processor(tiny_model_dir))  # with nothing cached yet
    live = type(model)(model.config)
    live.load_state_dict(model.state_dict())
    live.train()
    text_config = live.model.language_model.config
    before = (
        plain_logits(live, PromptEncoder(encoder.processor), problems[0], np.array([20, 21])),
        text_config._attn_implementation,
    )
    TransformersEngine(live, encoder).generate(requests_for(problems, 2), SAMPLED)
    assert live.training
    after = plain_logits(live, encoder, problems[0], np.array([20, 21])), text_config._attn_implementation
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    prompt = encoder.encode(problems[0])  # cached by the engine, and still good for gradients
    live.model.visual(prompt.pixel_values, grid_thw=prompt.image_grid_thw).pooler_output.sum().backward()
    assert live.model.visual.patch_embed.proj.weight.grad.abs().sum() > 0


def test_half_precision(tiny_model_dir: Path, encoder: PromptEncoder, problems: list[Problem]) -> None:
    """bfloat16, as on a GPU: log-probabilities near those of float32 for the same tokens."""
    engine = TransformersEngine.from_folder(tiny_model_dir, encoder, dtype=torch.bfloat16)
    full = AutoModelForImageTextToText.from_pretrained(tiny_model_dir, dtype=torch.float32)
    requests = requests_for(problems, 2)
    for request, rollout in zip(requests, engine.generate(requests, SAMPLED), strict=True):
        logits = plain_logits(full, encoder, request.problem, rollout.token_ids)
        policy = policy_logits(logits, suppressed(full, encoder), SAMPLED.temperature)
        expected = policy.log_softmax(-1).gather(1, torch.as_tensor(rollout.token_ids, dtype=torch.long)[:, None])[:, 0]
        np.testing.assert_allclose(rollout.logprobs, expected, atol=0.1)


def test_images_are_seen_once_a_problem(
    transformers_engine: TransformersEngine, problems: list[Problem], monkeypatch: pytest.MonkeyPatch
) -> None:
    visual = transformers_engine.model.model.visual
    patches: list[int] = []
    forward = visual.forward

    def counted(hidden_states: torch.Tensor, *args: object, **kwargs: object) -> object:
        patches.append(len(hidden_states))
        return forward(hidden_states, *args, **kwargs)

    monkeypatch.setattr(visual, "forward", counted)
    transformers_engine.generate(requests_for(problems[:8], 8), SAMPLED)
    assert patches == [4 * sum(len(problem.images) for problem in problems[:8])]
