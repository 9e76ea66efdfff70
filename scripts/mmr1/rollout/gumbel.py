"""Sampling by the Gumbel-max trick with counter-based noise: a draw depends on its seed and position only.

argmax over tokens of (logit + Gumbel noise) is a draw from the softmax of the logits (Gumbel 1954; Maddison et al.
2014). The noise of a token is a function of (seed, position in the response, token), so a rollout does not depend on
which others share its batch, and no generator has a state that could be lost. The function is the output function of
SplitMix64 (Steele, Lea and Flood 2014) in 64-bit integers, which are the same on every device.
"""

import torch

# As signed 64-bit integers; multiplication wraps.
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
MIX_2 = 0x94D049BB133111EB - 2**64

# Rows are drawn in chunks of at most this many logits, for float64 noise over a large vocabulary is big.
CHUNK_ELEMENTS = 1 << 24


def mix(state: torch.Tensor) -> torch.Tensor:
    """SplitMix64's output function on int64 [...]: a bijection that scatters neighbouring states."""
    state = (state ^ _shift(state, 30)) * MIX_1
    state = (state ^ _shift(state, 27)) * MIX_2
    return state ^ _shift(state, 31)


def gumbel_noise(seeds: torch.Tensor, position: int, vocabulary: int) -> torch.Tensor:
    """Standard Gumbel noise, float64 [B, V], for int64 seeds [B] at one position of the response.

    Each (seed, position) has a SplitMix64 stream of its own, and token v takes its v-th output.
    """
    stream = mix(mix(seeds + GOLDEN) + position)
    counter = torch.arange(1, vocabulary + 1, device=seeds.device) * GOLDEN
    bits = mix(stream[:, None] + counter)
    uniform = (_shift(bits, 12).double() + 0.5) * 2.0**-52  # in (0, 1), exact: never 0, never 1
    return uniform.log_().neg_().log_().neg_()


def draw(logits: torch.Tensor, seeds: torch.Tensor, position: int) -> torch.Tensor:
    """One token per row, int64 [B], from the softmax of `logits` float32 [B, V] (-inf: never drawn)."""
    rows = max(1, CHUNK_ELEMENTS // logits.shape[-1])
    chunks = [
        (part + gumbel_noise(part_seeds, position, logits.shape[-1])).argmax(dim=-1)
        for part, part_seeds in zip(logits.split(rows), seeds.split(rows), strict=True)
    ]
    return torch.cat(chunks)


def _shift(value: torch.Tensor, bits: int) -> torch.Tensor:
    """A logical right shift: torch's own copies the sign."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)
