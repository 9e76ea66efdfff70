"""What a token may attend to: the definition read out, and FlexAttention against the dense mask."""

from functools import partial

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import scaled_dot_product_attention

from mmr1.grpo import attention
from mmr1.grpo.attention import BLOCK, RECOMPILATIONS, attention_mask, block_mask, dense_mask

# A line of two rows and padding: a prompt of two tokens with responses of two and of one, a prompt of one with one.
ROWS = torch.tensor([[0, 0, 0, 0, 0, 1, 1, -1]])
RESPONSES = torch.tensor([[0, 0, 1, 1, 2, 0, 1, 0]])


def test_a_token_sees_its_prompt_and_its_own_response_so_far() -> None:
    seen = [{int(key) for key in row.nonzero()} for row in dense_mask(ROWS, RESPONSES)[0, 0]]
    prompts = [{0}, {0, 1}]
    first = [{0, 1, 2}, {0, 1, 2, 3}]
    second = [{0, 1, 4}]
    other_row, padding = [{5}, {5, 6}], [{7}]
    assert seen == prompts + first + second + other_row + padding


def test_a_cpu_takes_the_dense_mask_and_a_gpu_blocks() -> None:
    assert attention_mask(ROWS, RESPONSES).dtype == torch.bool
    assert isinstance(block_mask(ROWS, RESPONSES), BlockMask)


def made_up(lines: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows of a prompt and three responses, of random lengths, in so many lines; the end of each is padding."""
    generator = torch.Generator().manual_seed(0)
    row_of = torch.full((lines, width), -1)
    response_of = torch.zeros(lines, width, dtype=torch.long)
    for line in range(lines):
        start = row = 0
        while start < width - 150:
            for response in range(4):
                length = int(torch.randint(5, 40, (), generator=generator))
                row_of[line, start : start + length] = row
                response_of[line, start : start + length] = response
                start += length
            row += 1
    return row_of, response_of


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("width", [4 * BLOCK, 3 * BLOCK + 17])
def test_flex_attention_computes_what_the_dense_mask_does(width: int) -> None:
    """Grouped queries, as the models have. Forward only: on a CPU FlexAttention has no backward pass."""
    from torch.nn.attention.flex_attention import flex_attention

    row_of, response_of = made_up(2, width)
    generator = torch.Generator().manual_seed(1)
    query = torch.randn(2, 4, width, 16, generator=generator)
    key, value = (torch.randn(2, 2, width, 16, generator=generator) for _ in range(2))
    mask = block_mask(row_of, response_of)
    found = flex_attention(query, key, value, block_mask=mask, enable_gqa=True)
    expected = scaled_dot_product_attention(
        query, key, value, attn_mask=dense_mask(row_of, response_of), enable_gqa=True
    )
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    assert mask.sparsity() > 20  # percent of the blocks are passed over


def compilations(monkeypatch: pytest.MonkeyPatch, sizes: list[tuple[int, int]]) -> int:
    """How often FlexAttention is compiled for masks of so many lines and blocks, one after another."""
    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=counter))
    torch._dynamo.reset()
    attention._compiled.cache_clear()
    attend = attention._compiled()
    for lines, blocks in sizes:
        row_of = torch.arange(blocks * BLOCK).div(200, rounding_mode="floor").int().expand(lines, -1)
        query, key = (torch.randn(lines, heads, blocks * BLOCK, 16) for heads in (4, 2))
        with torch.no_grad():
            mask = block_mask(row_of, torch.zeros_like(row_of))
            attend(query, key, key, block_mask=mask, scale=0.25, enable_gqa=True)
    attention._compiled.cache_clear()
    torch._dynamo.reset()
    return counter.frame_count


def test_flex_attention_is_compiled_a_few_times_for_any_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for a line, whatever its length, once more for one of a single block; the same for several lines.

    A number of lines that is the number of heads may be compiled apart.
    """
    packed = [(1, blocks) for blocks in (7, 2, 5, 1, 9, 3, 12, 8, 4)]
    with monkeypatch.context() as patched:
        assert compilations(patched, packed) == 2
    lines = [(count, blocks) for count in (2, 1, 4, 3) for blocks in (3, 1, 5)]
    with monkeypatch.context() as patched:
        assert compilations(patched, lines) <= 8
    assert torch._dynamo.config.recompile_limit >= RECOMPILATIONS > 2 * 8  # with gradient and without
