# What a round of RL builds on: the round before, its rollouts, its scores. No rule here.
from itertools import product

from snakemake.iocontainers import Wildcards


def initial_key(model, run):
    """Names the rollouts of round 0: they depend on the model, the seed and these settings, not on the run."""
    sections = resolved(model, run)
    training = sections.prompts.training
    prompt = None if training is None else sha256(training)
    return digest([numbers(generate_settings(sections)), prompt])[:8]


# A run that the rollouts of a key belong to: any of those that share them.
INITIAL_RUNS = {
    (model, initial_key(model, run)): run for model, run, _ in RECIPE.trained()
}


def first_step(wildcards):
    """The absolute number of a round's first step."""
    return int(wildcards.r) * stages(wildcards).schedule.update_every


def round_steps(wildcards):
    """How many steps a round has; the last may be short."""
    schedule = stages(wildcards).schedule
    return min(schedule.update_every, schedule.steps - first_step(wildcards))


def training_rollouts(wildcards):
    """How many rollouts a round of full length trains on, where its gate passes no group over."""
    sections = stages(wildcards)
    groups = sections.schedule.update_every * sections.schedule.batch_size
    return groups * sections.grpo.group_size


def previous(wildcards, name):
    """A file of the round before."""
    return f"{ROUND}/{name}".format(**{**wildcards, "r": int(wildcards.r) - 1})


def policy(wildcards):
    """The checkpoint that a round starts from: the last round's, or SFT's."""
    if int(wildcards.r) == 0:
        return cold_start(wildcards)
    return previous(wildcards, "checkpoint")


def trainer_state(wildcards):
    """The optimizer's state that a round starts from; round 0 has none."""
    return [] if int(wildcards.r) == 0 else previous(wildcards, "trainer_state")


def refresh(wildcards):
    """How a round's scores come about: the first round has none to build on, so all of its problems are sampled."""
    return (
        load("vas/refreshes", "full")
        if int(wildcards.r) == 0
        else stages(wildcards).vas.refresh.module
    )


def sampled_problems(wildcards):
    """The problems that are sampled for a round's scores: all, or those that the refresh selects."""
    way = refresh(wildcards)
    return (
        f"{ROUND}/selected.parquet".format(**wildcards)
        if hasattr(way, "select") or hasattr(way, "follow")
        else f"{R}/data/problems.parquet"
    )


def follows(wildcards):
    """Whether a round's scores are made from all verdicts so far."""
    return hasattr(stages(wildcards).vas.refresh.module, "follow")


def samples_nothing(wildcards):
    """Whether a round has no responses of its own: its scores are made from the training before, if there was any."""
    if not follows(wildcards):
        return False
    settings = stages(wildcards).vas.refresh.settings
    return settings.share == 0 or (int(wildcards.r) == 0 and not settings.first)


def training_history(wildcards):
    """The verdicts of all training so far, for scores that are made from them."""
    return rewards_before(wildcards) if follows(wildcards) else []


def pass_history(wildcards):
    """The verdicts of all passes so far, for scores that are made from them."""
    if not follows(wildcards) or stages(wildcards).vas.refresh.settings.share == 0:
        return []
    return [
        f"{ROUND}/rewards.parquet".format(**{**wildcards, "r": r})
        for r in range(int(wildcards.r))
    ]


def history_options(wildcards):
    """The same, as the programs take them."""
    every, passes = stages(wildcards).schedule.update_every, pass_history(wildcards)
    return [
        *optional("--training-rewards", training_history(wildcards)),
        *optional("--pass-rewards", passes),
        *optional("--pass-steps", [every * r for r in range(len(passes))]),
    ]


def rollouts_in(folder, wildcards):
    """The rollouts of every shard of a folder, in order."""
    shards = range(stages(wildcards).rollout.shards)
    folder = folder.format(**wildcards)
    return [f"{folder}/rollouts/{shard}.parquet" for shard in shards]


def rollouts(wildcards):
    """The rollouts that a round's scores are made from: every shard, in order, or those of the last round's training."""
    if refresh(wildcards).ROLLOUTS == "training":
        return [previous(wildcards, "train_rollouts.parquet")]
    if samples_nothing(wildcards):
        return []
    if int(wildcards.r) == 0:
        key = initial_key(wildcards.model, wildcards.run)
        folder = INITIAL.format(model=wildcards.model, key=key, seed=wildcards.seed)
    else:
        folder = ROUND
    return rollouts_in(folder, wildcards)


def passes_before(wildcards):
    """The verdicts of all responses that were sampled for the scores of earlier rounds, by their policy's step."""
    every = stages(wildcards).schedule.update_every
    earlier = [
        Wildcards(fromdict={**wildcards, "r": str(r)}) for r in range(int(wildcards.r))
    ]
    return {
        every * int(one.r): f"{ROUND}/rewards.parquet".format(**one)
        for one in earlier
        if needs_scores(stages(one))
        and refresh(one).ROLLOUTS != "training"
        and not samples_nothing(one)
    }


def replayed_rollouts(wildcards):
    """The responses that other scores are replayed on, every shard in order."""
    return rollouts_in(REPLAYED, wildcards)


def replay_options(wildcards):
    """A round's own scores, and all verdicts before it."""
    passes, own = passes_before(wildcards), scores(wildcards)
    return [
        *optional("--scores", own and f"{wildcards.run}={own}"),
        *optional("--training-rewards", rewards_before(wildcards)),
        *optional("--pass-rewards", list(passes.values())),
        *optional("--pass-steps", list(passes)),
    ]


def scores(wildcards):
    """A round's scores; none where its sampler needs none."""
    return (
        f"{ROUND}/scores.parquet".format(**wildcards)
        if needs_scores(stages(wildcards))
        else []
    )


def previous_scores(wildcards):
    """The scores of the round before, where the new ones are built on them."""
    builds = refresh(wildcards).KEEPS_SCORES or stages(wildcards).vas.momentum > 0
    return previous(wildcards, "scores.parquet") if builds and int(wildcards.r) else []


def known_verdicts(wildcards):
    """The verdicts of the last round's training rollouts, where these are scored again."""
    return (
        [previous(wildcards, "train_rewards.parquet")]
        if refresh(wildcards).ROLLOUTS == "training"
        else []
    )


def scores_option(wildcards):
    """--scores F, where the round has scores."""
    return optional("--scores", scores(wildcards))


def score_options(wildcards):
    """What a round's scores build on, and the step whose policy made their rollouts."""
    return [
        *optional("--previous", previous_scores(wildcards)),
        *optional("--rewards-in", known_verdicts(wildcards)),
        *optional("--first-step", first_step(wildcards)),
        *history_options(wildcards),
    ]


def selection_options(wildcards):
    """What problems are selected by: the last scores, or all verdicts so far."""
    return [
        *optional("--scores", previous_scores(wildcards)),
        *history_options(wildcards),
    ]


def schedule(wildcards):
    """The schedule that a round is trained on; none where the trainer chooses on the way."""
    return (
        []
        if observes(stages(wildcards))
        else f"{ROUND}/schedule.parquet".format(**wildcards)
    )


def observed_rewards(wildcards):
    """What a sampler that observes has seen in the rounds before."""
    return rewards_before(wildcards) if observes(stages(wildcards)) else []


def schedule_option(wildcards):
    """--schedule F or, where the trainer chooses on the way, what it starts from and where it writes its choice."""
    if not observes(stages(wildcards)):
        return optional("--schedule", schedule(wildcards))
    return [
        *optional("--first-step", first_step(wildcards)),
        *optional("--steps", round_steps(wildcards)),
        *optional("--earlier-rewards", observed_rewards(wildcards)),
        *optional("--schedule-out", f"{ROUND}/schedule.parquet".format(**wildcards)),
    ]


def round_outputs(observing, kept):
    """What the training of a round writes. An optimizer's state that is not kept goes once the next round used it."""
    schedule = {"schedule": f"{ROUND}/schedule.parquet"} if observing else {}
    return {
        **folder_output("checkpoint", f"{ROUND}/checkpoint"),
        **folder_output("state", f"{ROUND}/trainer_state", *([] if kept else [temp])),
        "rollouts": f"{ROUND}/train_rollouts.parquet",
        "rewards": f"{ROUND}/train_rewards.parquet",
        "metrics": f"{ROUND}/metrics.jsonl",
        "timings": f"{ROUND}/timings.jsonl",
        "validation": f"{ROUND}/validation.jsonl",
        "entries": f"{ROUND}/entries.jsonl",
        **schedule,
        "record": run_record("train_grpo", "{model}/{run}/seed{seed}/round{r}"),
    }


def state_option(wildcards):
    """--state DIR, where a round has one before it."""
    return optional("--state", trainer_state(wildcards))


def kept_rounds(model, run):
    """The rounds whose optimizer states are kept: see `keep_states` in mmr1.recipe."""
    count = rounds(model, run)
    return range(count)[-{"last": 1, "last_two": 2, "all": count}[RECIPE.keep_states] :]


def only_rounds(observing, kept=None):
    """A constraint on the model's part of a path: only rounds whose sampler observes or not, whose states are kept or not.

    A path of no round of the recipe passes for the plainest kind, whose functions say how many rounds there are.
    """
    plain = not observing and not kept
    paths = [
        f"{model}/{run}/seed{seed}/round{r}/"
        for model, run, seed in RECIPE.trained()
        for r in range(rounds(model, run))
        if plain
        != (
            observes(resolved(model, run)) == observing
            and kept in (None, r in kept_rounds(model, run))
        )
    ]
    return f"(?{'!' if plain else '='}{any_of(paths)})[^/]+"


def round_number(wildcards):
    """The round, as a number that enters the seeds of its rollouts; the shared first one is round 0."""
    return int(getattr(wildcards, "r", 0))


def shard(wildcards):
    """I/K, as generate.py takes it."""
    return f"{wildcards.shard}/{stages(wildcards).rollout.shards}"


def rewards_before(wildcards):
    """The verdicts of the training rollouts of all rounds before a round."""
    folders = [ROUND.format(**{**wildcards, "r": r}) for r in range(int(wildcards.r))]
    return [f"{folder}/train_rewards.parquet" for folder in folders]


def rewards_so_far(wildcards):
    """Those, and the verdicts of the round itself."""
    return rewards_before(wildcards) + [
        f"{ROUND}/train_rewards.parquet".format(**wildcards)
    ]


def last_round(model, run, seed):
    """The folder of a run's last round."""
    return ROUND.format(model=model, run=run, seed=seed, r=rounds(model, run) - 1)


def rounds_of(name):
    """A file of every round of every run that is trained."""
    return [
        f"{ROUND}/{name}".format(model=model, run=run, seed=seed, r=r)
        for model, run, seed in RECIPE.trained()
        for r in range(rounds(model, run))
    ]


def scored_rounds(name):
    """A file of every round that has scores."""
    return [
        f"{ROUND}/{name}".format(model=model, run=run, seed=seed, r=r)
        for model, run, seed in RECIPE.trained()
        if needs_scores(resolved(model, run))
        for r in range(rounds(model, run))
    ]


def counterfactual_outputs(wildcards):
    """What the target `counterfactual` makes: before the first round of a run of each model, or the last of every run."""
    trained = RECIPE.trained()
    if not trained:
        refuse("counterfactual: expected a run that is trained, found none")
    if RECIPE.counterfactual.round == "first":
        scored = [one for one in trained if needs_scores(resolved(*one[:2]))]
        firsts = {one[0]: one for one in reversed([*scored, *trained])}
        folders = [
            ROUND.format(model=model, run=run, seed=seed, r=0)
            for model, run, seed in firsts.values()
        ]
    else:
        folders = [last_round(*one) for one in trained]
    return [f"{folder}/counterfactual/weightings.jsonl" for folder in folders]


def last_checkpoints(wildcards):
    """The last checkpoint of every run."""
    return [f"{last_round(*trained)}/checkpoint" for trained in RECIPE.trained()]
