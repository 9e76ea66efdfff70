"""`docs/findings.md`: what a researcher reads first. Numbers come from what is kept, but for `BESIDE` and `DAPO`."""

from collections.abc import Sequence

import numpy as np

from mmr1.report.answer import DEARER
from mmr1.report.bootstrap import Difference
from mmr1.study.blocks import Block
from mmr1.study.claims import CHEAPER
from mmr1.study.kept import Kept
from mmr1.study.page import PERCENT, interval, main_arms, results_state, spread, table
from mmr1.study.verdicts import (
    NOT_AFTER_HOLM,
    OPPOSITE,
    Study,
    Verdict,
    common_seeds,
    pass_rate_difference,
    payoffs,
    study_of,
    verdicts,
)

END_IS_BETTER, VAS_PAYS = "the end is better", "VAS pays per rollout"
ANSWERS = (
    ("Per step", (END_IS_BETTER, "training is faster per step", "fewer groups are without variance")),
    ("Per rollout", (VAS_PAYS, "VAS is faster per rollout", "the scores earn what they cost")),
    ("Why", ("gradient norm is higher", "clip fraction is higher", "TDS adds to OVS", "the sign of self-BLEU matters")),
)
INTRODUCTION = (
    "Does variance-aware sampling (VAS) pay, when, and what to use instead? One task (handwritten digits), one small "
    "model, RL from one SFT checkpoint: nothing here is about the paper's own models. What was claimed beforehand and "
    "how it is judged: [the plan](study/plan.md). All numbers: [the results](study/results.md). One command writes "
    "both from the study's records."
)
GENERAL = (
    "Scores pay at equal rollouts only if c is below c* = λ(q_w/q - 1): many groups without variance, cheap scores, "
    "and a policy that moves little between two passes ([how it is computed](report.md#do-the-scores-pay)). Groups "
    "vary here by their verdicts. c* counts groups: that it is above c promises no gain in accuracy."
)
BESIDE = """Measured beside the study, on its task and one seed each; tables and commands are in [vas.md](vas.md):

- **One batch's gradient is noise**: after SFT its noise is 22 times its signal. VAS raises the gradient's norm
  (by 11%; OVS of 8 responses at λ = 1 by 51%) because more groups vary. Toward the set's mean reward a batch
  gains 1.10 times [0.6, 1.6] (1.47 [0.6, 2.4]); at equal rollouts it has to be more than 1 + c, 1.38 for `vas`
  ([signal and noise](vas.md#signal-and-noise-of-a-batch)).
- **A model that was fitted to one uniform run** said before they were trained that VAS loses 1.9 points at
  equal rollouts both where its scores cost 1.5 times the training, and where they cost 9% but come once, from
  two responses, and draw everything. Measured: -2.1 [-3.5, -0.7] and -3.5 [-5.5, -1.5]. The second for another
  reason than the model's, as its shares of varying groups show. Cheap scores were not enough there, under one
  seed ([when it pays](vas.md#when-it-pays)).
- **Old rollouts close no gap**: of what perfect scores gain, scores from training's own verdicts recover .66
  for nothing and .70 for 4% of the rollouts; importance weights, drifts and log-probabilities .59 to .71; the
  aim was .8 for 5%."""
DAPO = (
    "`dapo-equal` draws at most three batches a step, where the paper of DAPO draws until its batch is full, and has "
    "37 steps where the others have 80, at a learning rate that was tuned for theirs."
)
COMMANDS = """```
make study                # trains what is not kept yet, seed by seed, and writes this page
make study SEEDS=1        # one seed of each group
make demo                 # the same task: uniform draws beside VAS, in minutes
```"""


def findings_page(kept: Sequence[Kept], planned: Sequence[Block]) -> str:
    """The page. `planned` are the blocks that the study has."""
    study = study_of(kept)
    found = verdicts(study)
    parts = [
        "# Findings",
        INTRODUCTION,
        results_state(kept, planned),
        *_conclusion(found),
        *_answers(found),
        "## What to use instead",
        _instead(main_arms(kept, study)),
        "## When it pays",
        _when(study),
        BESIDE,
        *(["![Validation accuracy by rollouts](study/validation-by-rollouts.svg)"] if study else []),
        "## Again",
        COMMANDS,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _conclusion(found: Sequence[Verdict]) -> list[str]:
    """The verdicts that decide what to use, in words, and what follows from them."""
    of = {(one.claim.text, one.claim.first[0]): one for one in found if one.difference is not None}
    per_step, per_rollout = of.get((END_IS_BETTER, "vas")), of.get((VAS_PAYS, "vas"))
    cheaper = [one for (text, arm), one in of.items() if text == f"{CHEAPER.get(arm)} pays per rollout"]
    if per_step is None or per_rollout is None:
        return []
    lines = [
        f"- **Per step**, VAS {_how_it_ends(per_step)} uniform draws ({_points(per_step)}).",
        f"- **Per rollout**, passes for scores included, it {_how_it_ends(per_rollout)} uniform draws that train on "
        f"as many ({_points(per_rollout)}).",
    ]
    for one in cheaper:
        name = CHEAPER[one.claim.first[0]]
        lines.append(
            f"- {name[0].upper()}{name[1:]}, without a pass, {_how_it_ends(one)} uniform draws ({_points(one)})."
        )
    better = [one for one in (per_rollout, *cheaper) if one.word == "supported"]
    if better:
        names = [f"{CHEAPER.get(one.claim.first[0], 'VAS')} ({_points(one)})" for one in better]
        advice = f"{' or '.join(names)}: shown to beat uniform draws on as many rollouts"
    else:
        advice = "uniform draws: neither VAS nor any way without a pass was shown to be better at equal rollouts"
    few = any(one.provisional for one in (per_rollout, *cheaper))
    advice += " (provisional: few seeds)." if few else "."
    return ["## In short", "\n".join(lines), f"**Use** {advice}"]


def _how_it_ends(one: Verdict) -> str:
    if one.word == "supported":
        return "ends better than"
    if one.note == OPPOSITE:
        return "ends worse than"
    # With few seeds an interval is too short to say that there is no gain.
    undecided = one.word == "undecided" or one.provisional
    return "was not shown to end better than" if undecided else "does not end a point better than"


def _points(one: Verdict) -> str:
    assert one.difference is not None  # the callers look
    notes = []
    if one.note == NOT_AFTER_HOLM:  # the interval alone would seem to show more
        notes.append(f"not {'above' if one.difference.mean > 0 else 'below'} 0 after Holm's correction")
    notes += ["provisional"] if one.provisional else []
    return ", ".join([f"{_shown(one.difference)} points", *notes])


def _answers(found: Sequence[Verdict]) -> list[str]:
    parts = []
    for title, texts in ANSWERS:
        lines = [_sentence(one) for text in texts for one in found if one.claim.text == text]
        parts += [f"## {title}", "\n".join(lines)]
    return parts


def _sentence(one: Verdict) -> str:
    claim, words = one.claim, f"**{one.word}**" + (", provisional" if one.provisional else "")
    note = f" ({one.note})" if one.note else ""
    if one.difference is None:
        return f"- {claim.text} ({claim.between}): {words}{note}."
    scale = 100 if claim.measure in PERCENT else 1
    shown = interval(one.difference.mean, one.difference.low, one.difference.high, scale)
    unit = {"gradient_norm": "%", "clip_fraction": "%", "settling": "", "margin_over_break_even": ""}
    return (
        f"- {claim.text} ({claim.between}): {words}{note}; {shown} {unit.get(claim.measure, 'points')}".rstrip() + "."
    )


def _instead(study: Study) -> str:
    """Every arm beside uniform draws for as many rollouts, best first; and what more of these bring."""
    rows, more = [], ""
    for arm in study:
        against = fair_comparison(study, arm)
        if against is None or not (seeds := common_seeds(study, (arm, against))):
            continue
        one = pass_rate_difference(study, (arm,), (against,), seeds)
        spent, others = (np.mean([study[name][seed].arm.rollouts for seed in seeds]) for name in (arm, against))
        if max(spent, others) <= DEARER * min(spent, others):
            rows.append((one, arm, against, spent / others))
        elif arm == "uniform-equal":
            more = f"Uniform draws for {spent / others:.2f} times the rollouts end {_shown(one)} points higher."
    rows.sort(key=lambda row: -row[0].mean)
    lines = [
        [f"`{arm}`", f"`{against}`", f"{times:.2f}", _shown(one), str(one.seeds)] for one, arm, against, times in rows
    ]
    header = ["arm", "beside", "its rollouts over the other's", "test pass rate, points [95%]", "seeds"]
    parts = [table(header, lines), more, DAPO if "dapo-equal" in study else ""]
    return "\n\n".join(part for part in parts if part) or "No seed is done yet."


def _shown(one: Difference) -> str:
    return interval(one.mean, one.low, one.high, 100)


def fair_comparison(study: Study, arm: str) -> str | None:
    """The uniform arm whose rollouts are nearest to an arm's."""
    names = [name for name in ("uniform", "uniform-equal") if study.get(name)]
    if arm == "uniform" or "uniform" not in names:
        return None
    spent = {name: float(np.mean([one.arm.rollouts for one in study[name].values()])) for name in (*names, arm)}
    nearest = min(names, key=lambda name: abs(spent[name] - spent[arm]))
    return nearest if nearest != arm else "uniform"


def _when(study: Study) -> str:
    """The break-even of each arm with scores, in words."""
    lines = []
    for arm in study:
        pays = payoffs(study, arm)
        if pays and any(one.cost for one in pays):
            cost, limit = (spread([getattr(one, name) for one in pays], 2) for name in ("cost", "break_even"))
            q, weighted = (spread([100 * getattr(one, name) for one in pays], 1) for name in ("uniform", "weighted"))
            lines.append(
                f"- `{arm}` spends c = {cost} rollouts on scores for each of training; {q}% of uniform and {weighted}% "
                f"of weighted groups vary, so that it may spend c* = {limit}."
            )
    return "\n\n".join([GENERAL, "\n".join(lines)] if lines else [GENERAL])
