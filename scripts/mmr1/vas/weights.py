"""The weights that problems are drawn with."""

import numpy as np

from mmr1.vas.arrays import Floats


def weights(vps: Floats) -> Floats:
    """VPS over its sum, (M,); 1/M each if all are 0 (no problem promises variance: none is preferred).

    Sums run from first to last, so that the same scores make the same bits on any machine.
    """
    total = np.cumsum(vps)[-1]
    return vps / total if total > 0 else np.full(len(vps), 1 / len(vps))
