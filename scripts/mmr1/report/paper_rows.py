"""Which runs of the recipe `mmr1` are rows of the paper's Tables 2, 3 and 4. No heavy import: the workflow reads it."""

# (table, model, subject) -> rows of the paper. Another checkpoint stands in Table 2 if its subject is named like a row.
# The four parts of Table 4 share one run: that of the recipe's `ablation`.
PAPER_ROWS: dict[tuple[str, str, str], tuple[str, ...]] = {
    ("2", "3b", "vas"): ("MMR1-3B",),
    ("2", "7b", "vas"): ("MMR1-7B",),
    ("2", "7b", "base"): ("Qwen2.5-VL-7B",),
    ("3", "3b", "base"): ("Qwen2.5-VL-3B",),
    ("3", "3b", "sft"): ("+Cold-start",),
    ("3", "3b", "grpo"): ("+GRPO",),
    ("3", "3b", "vas"): ("+VAS",),
    ("4", "3b", "ablation"): ("mix=0.5", "update=28", "rollouts=8", "weights=0.5/0.5"),
    **{("4", "3b", f"mix-{mix}"): (f"mix={mix}",) for mix in ("0.2", "0.8", "1.0")},
    **{("4", "3b", f"update-{steps}"): (f"update={steps}",) for steps in (4, 7, 14, 35, 56)},
    **{("4", "3b", f"samples-{samples}"): (f"rollouts={samples}",) for samples in (16, 32)},
    **{
        ("4", "3b", f"weights-{outcome}-{diversity}"): (f"weights={outcome}/{diversity}",)
        for outcome, diversity in (("0.0", "1.0"), ("0.2", "0.8"), ("0.8", "0.2"), ("1.0", "0.0"))
    },
}
# What has a row in Tables 2 and 3 on benchmarks of our own: before RL, RL with uniform draws, and VAS.
PARTS = {
    "2": {"base": "Qwen2.5-VL-7B", "vas": "MMR1-3B"},
    "3": {"base": "Qwen2.5-VL-3B", "sft": "+Cold-start", "uniform": "+GRPO", "vas": "+VAS"},
}
