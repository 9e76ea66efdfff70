"""The claims of docs/study/plan.md as data: that the mean of `first` less the mean of `second` is above 0.

They were written down before the study ran. Whoever changes one says so at the end of the plan.
"""

from dataclasses import dataclass
from typing import Literal

Family = Literal["paper", "ours", "ablation"]
Measure = Literal[
    "pass_rate", "speed_by_step", "speed_by_rollouts", "varying_share",
    "gradient_norm", "clip_fraction", "middle", "settling", "margin_over_break_even",
]  # fmt: skip

POINT = 0.01
SMALLEST: dict[Measure, float] = {
    "pass_rate": POINT,
    "speed_by_step": POINT,
    "speed_by_rollouts": POINT,
    "varying_share": 2 * POINT,
    "gradient_norm": 0.05,  # of the second arm's
    "clip_fraction": 0.05,  # of the second arm's
    "middle": 2 * POINT,
    "settling": 0.05,
    "margin_over_break_even": 0.0,
}
NAMES: dict[Measure, str] = {
    "pass_rate": "test pass rate, points",
    "speed_by_step": "mean validation accuracy over steps, points",
    "speed_by_rollouts": "mean validation accuracy over rollouts, points",
    "varying_share": "share of varying groups, points",
    "gradient_norm": "gradient norm, %",
    "clip_fraction": "clip fraction, %",
    "middle": "problems of middle VPS, last round less first, points",
    "settling": "correlation of p(1-p) between rounds",
    "margin_over_break_even": "c* - c",
}


@dataclass(frozen=True)
class Claim:
    """What is claimed, of which arms, by which measure. `second` is empty where a measure is of one arm alone."""

    family: Family
    text: str
    measure: Measure
    first: tuple[str, ...]
    second: tuple[str, ...] = ()

    @property
    def smallest(self) -> float:
        """The smallest effect that matters, in the measure's own unit."""
        return SMALLEST[self.measure]

    @property
    def between(self) -> str:
        """Which arms are compared, in words."""
        return " - ".join(", ".join(f"`{arm}`" for arm in arms) for arms in (self.first, self.second) if arms)


def _of_both(text: str, measure: Measure) -> list[Claim]:
    """A claim of the paper, of VAS at both values of λ in its Figure 2."""
    return [Claim("paper", text, measure, (arm,), ("uniform",)) for arm in ("vas", "vas-1")]


CHEAPER = {"tracked": "VAS by tracked scores", "mopps": "MoPPS", "greso": "GRESO", "pool": "the pool"}
CLAIMS = (
    *_of_both("gradient norm is higher", "gradient_norm"),
    *_of_both("fewer groups are without variance", "varying_share"),
    *_of_both("clip fraction is higher", "clip_fraction"),
    *_of_both("training is faster per step", "speed_by_step"),
    *_of_both("the end is better", "pass_rate"),
    Claim("paper", "TDS adds to OVS", "pass_rate", ("vas",), ("ovs",)),
    Claim("paper", "VPS moves to the middle", "middle", ("samples-8",)),
    Claim("paper", "problems settle: transitions go to the diagonal", "settling", ("samples-8",)),
    Claim("ours", "VAS pays per rollout", "pass_rate", ("vas",), ("uniform-equal",)),
    Claim("ours", "VAS is faster per rollout", "speed_by_rollouts", ("vas",), ("uniform-equal",)),
    Claim("ours", "VAS beats DAPO's filter per rollout", "pass_rate", ("vas",), ("dapo-equal",)),
    Claim("ours", "the scores earn what they cost", "margin_over_break_even", ("vas",)),
    *(Claim("ours", f"{name} pays per rollout", "pass_rate", (arm,), ("uniform",)) for arm, name in CHEAPER.items()),
    Claim("ablation", "OVS adds to TDS", "pass_rate", ("vas",), ("weights-0.0-1.0",)),
    Claim(
        "ablation", "an intermediate T_update is best", "pass_rate", ("update-10", "vas"), ("update-5", "update-40")
    ),
    Claim("ablation", "the sign of self-BLEU matters", "pass_rate", ("vas",), ("self-bleu",)),
    Claim("ablation", "padding, as released, matters", "pass_rate", ("self-bleu",), ("self-bleu-padded",)),
)  # fmt: skip
