"""Group-relative advantages (GRPO, arXiv 2402.03300 eq. 3; the paper's §6.1)."""

import torch


def group_advantages(rewards: torch.Tensor, epsilon: float = 1e-6) -> torch.Tensor:
    """(r - mean) / (std + epsilon) within each group, with the unbiased standard deviation.

    `rewards` float64 [groups, n], n ≥ 2; returns the same shape. A group without variance gets zeros, also where
    epsilon is 0 or the mean of equal rewards is rounded.
    """
    mean = rewards.mean(dim=1, keepdim=True)
    std = rewards.std(dim=1, keepdim=True)
    equal = (rewards == rewards[:, :1]).all(dim=1, keepdim=True)
    return ((rewards - mean) / (std + epsilon)).masked_fill(equal, 0.0)
