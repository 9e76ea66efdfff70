"""Named randomness: every draw has a generator of its own, seeded by what it is for (docs/design.md §5).

A draw never depends on which draws came before it, so a run that is killed, split over jobs or resharded draws the
same numbers.
"""

import hashlib

import numpy as np

Part = str | int


def derive(seed: int, purpose: str, *parts: Part) -> int:
    """A seed in [0, 2**63) for one purpose, from the run's seed and what tells this draw from the others.

    `parts` are the absolute step or the round, the slot or the problem id, and the rollout index, as they apply.
    """
    name = "\x1f".join([str(seed), purpose, *(f"{type(part).__name__}:{part}" for part in parts)])
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1


def generator(seed: int, purpose: str, *parts: Part) -> np.random.Generator:
    """A numpy generator (Philox: counter-based, the same on every machine) seeded by `derive`."""
    return np.random.Generator(np.random.Philox(derive(seed, purpose, *parts)))
