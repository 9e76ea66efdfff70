"""What a job will do, from the recipe alone: tokens, FLOPs and bytes, by the rule that makes it.

The formulas, with f = 2 FLOPs per weight and token of a forward pass:

| what | FLOPs |
| --- | --- |
| an image of V visual tokens, p = 4 V patches | f·(tower·p + merger·V) + 4·p·d·(whole·p + windowed·window) |
| a prompt of P tokens | f·text·P + 2·layers·width·P² (causal: half of the square) |
| a response of L tokens behind it | f·(text + head)·L + 4·layers·width·(P·L + L²/2) |
| sampling N responses to a prompt | image + prompt + N responses: the prompt is computed once |
| training on n responses to a prompt | 3 of all (forward, backward twice that), 1 for the reference; the prompt once |
| old log-probabilities | 1 more, of the mini-batches but the first of each step |
| SFT on a conversation of T tokens | 3 of an image and T tokens, the head on all |

Lengths are means that the caller states: nobody knows them before a run. Recomputed activations count nothing; what
hardware makes of all this is a utilisation, which the caller states too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from mmr1.benchmarks.base import Benchmark
from mmr1.models.shapes import Shape
from mmr1.plugins import load
from mmr1.recipe import Recipe, Stages

WIDTHS = {"bf16": 2, "fp32": 4}  # bytes per weight
MASTER, MOMENTS = 4, 8  # bytes per weight of an optimizer state: float32 weights, AdamW's two moments
TEXT_BYTES = 6  # of a sampled token in a rollouts table: its id and its text


@dataclass(frozen=True)
class Lengths:
    """Mean lengths in tokens. `visual` of a prompt's tokens are of its images."""

    prompt: int = 700
    visual: int = 500
    response: int = 800
    conversation: int = 3000

    def within(self, prompt: int | None, response: int) -> "Lengths":
        """As far as a recipe's bounds allow: half of a bound at most, which is the mean of what is spread below it."""
        prompts = self.prompt if prompt is None else min(self.prompt, prompt // 2)
        visual = min(self.visual, prompts * self.visual // self.prompt)
        return Lengths(prompts, visual, min(self.response, response // 2), self.conversation)


@dataclass(frozen=True)
class Work:
    """What one job does. Tokens are prompts' and responses' of every row; `kept` are bytes that stay on the disk."""

    trained_tokens: float = 0
    sampled_tokens: float = 0
    training_flops: float = 0
    sampling_flops: float = 0
    kept: float = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))


@dataclass(frozen=True)
class Planner:
    """What jobs of a recipe do. `shapes` are the models' by name; `unknown` collects what no number is known of."""

    recipe: Recipe
    shapes: dict[str, Shape]
    lengths: Lengths
    measured: bool = False  # the lengths are those of this recipe: its bounds do not cap them
    unknown: set[str] = field(default_factory=set)

    def work(self, rule: str, model: str, run: str | None, wildcards: Any) -> Work:
        """What the job of a rule does; nothing where no model computes in it."""
        stage = stage_of(rule)
        if stage is None:
            return Work()
        if model not in self.shapes:
            self.unknown.add(f"the size of models.{model}")
            return Work()
        made: Callable[[Stages, Shape, Any], Work] = getattr(self, f"_{stage}")
        return made(self.recipe.resolve(model, run), self.shapes[model], wildcards)

    def _sft(self, sections: Stages, shape: Shape, wildcards: Any) -> Work:
        sft = sections.sft
        lengths = self._lengths(sft.cutoff, sft.cutoff)
        conversations = self._rows("sft") * sft.epochs
        tokens = lengths.conversation if self.measured else min(lengths.conversation, sft.cutoff // 2)
        looks = 1 if "vision" in sft.freeze else 3  # a backward pass counts twice
        one = looks * image(shape, lengths.visual) + 3 * (prompt(shape, tokens) + 2 * shape.head * tokens)
        return Work(
            trained_tokens=conversations * tokens,
            training_flops=conversations * one,
            kept=shape.total * WIDTHS[sft.precision],
        )

    def _passes(self, sections: Stages, shape: Shape, wildcards: Any) -> Work:
        lengths = self._lengths(sections.rollout.max_prompt_tokens, sections.rollout.max_tokens)
        refresh = sections.vas.refresh if int(getattr(wildcards, "r", 0)) else None
        share = getattr(refresh.settings, "share", 1.0) if refresh is not None else 1.0
        problems = ceil(self._rows("problems") * share) / sections.rollout.shards
        return sampling(shape, lengths, problems, sections.vas.samples)

    def _curation(self, sections: Stages, shape: Shape, wildcards: Any) -> Work:
        lengths = self._lengths(sections.rollout.max_prompt_tokens, sections.rollout.max_tokens)
        problems = self._rows("problems") / sections.rollout.shards
        return sampling(shape, lengths, problems, self.recipe.curation.samples)

    def _counterfactual(self, sections: Stages, shape: Shape, wildcards: Any) -> Work:
        lengths = self._lengths(sections.grpo.max_prompt_tokens, sections.grpo.max_response_tokens)
        problems = self._rows("problems") / sections.rollout.shards
        return sampling(shape, lengths, problems, self.recipe.counterfactual.truth + self.recipe.counterfactual.new)

    def _training(self, sections: Stages, shape: Shape, wildcards: Any) -> Work:
        grpo, schedule = sections.grpo, sections.schedule
        lengths = self._lengths(grpo.max_prompt_tokens, grpo.max_response_tokens)
        first = int(wildcards.r) * schedule.update_every
        steps = min(schedule.update_every, schedule.steps - first)
        rows = grpo.group_size
        updates = max(1, ceil(schedule.batch_size / grpo.mini_batch_size)) * grpo.epochs
        passes = 3 * grpo.epochs + grpo.needs_reference + (1 - grpo.epochs / updates)
        group = image(shape, lengths.visual) + prompt(shape, lengths.prompt) + rows * response(shape, lengths)
        problems = steps * schedule.batch_size
        sampled = sampling(shape, lengths, problems, rows)
        validated = self._validation(sections, shape, first, steps)
        width = WIDTHS[grpo.precision]
        return (
            sampled
            + validated
            + Work(
                trained_tokens=problems * rows * (lengths.prompt + lengths.response) * grpo.epochs,
                training_flops=passes * problems * group,
                kept=shape.total
                * (width + self._states(wildcards, first + steps >= schedule.steps) * (MASTER + MOMENTS + width)),
            )
        )

    def _validation(self, sections: Stages, shape: Shape, first: int, steps: int) -> Work:
        every = sections.validation.every
        times = sum(step % every == 0 for step in range(first + 1, first + steps + 1)) + (first == 0)
        lengths = self._lengths(sections.grpo.max_prompt_tokens, sections.grpo.max_response_tokens)
        problems = self._rows("validation") * times
        return sampling(shape, lengths, problems, sections.grpo.validation.n, kept=False)

    def _evaluation(self, sections: Stages, shape: Shape, wildcards: Any) -> Work:
        evaluation = sections.evaluation
        lengths = self._lengths(sections.rollout.max_prompt_tokens, evaluation.max_tokens)
        return sampling(shape, lengths, self.items(wildcards.benchmark), evaluation.n)

    def items(self, benchmark: str) -> int:
        """How many problems a benchmark has, as its source or the recipe says."""
        one: Benchmark = load("benchmarks/suite", benchmark).BENCHMARK
        number = one.source.rows if one.source is not None else self._rows("test")
        limit = self.recipe.evaluation_limit
        return number if limit is None else min(number, limit)

    def _states(self, wildcards: Any, last: bool) -> bool:
        """Whether a round's optimizer state stays: a run's last one does, or every one; a second is kept beside it."""
        rounds = self.recipe.rounds(wildcards.model, wildcards.run)
        kept = {"last": 1, "last_two": 2, "all": rounds}[self.recipe.keep_states]
        return last or int(wildcards.r) >= rounds - kept

    def _rows(self, table: str) -> int:
        """How many rows a table of the data has; what is made of a benchmark has its number; 0 if nothing says."""
        key, number = ("data", None) if self.recipe.data is None else self.recipe.data.rows().get(table, ("data", None))
        if number is None and table == "validation":
            number = sum(self.items(name) for name in self.recipe.ask_data("benchmarks", [])) or None
        if number is None:
            self.unknown.add(f"the rows of {key}")
        limit = self.recipe.data_limit
        return min(filter(None, (number, limit)), default=0)

    def _lengths(self, prompt: int | None, response: int) -> Lengths:
        return self.lengths if self.measured else self.lengths.within(prompt, response)


def image(shape: Shape, visual: float) -> float:
    """FLOPs of one forward pass over an image of so many visual tokens."""
    patches = shape.merge * visual
    attended = shape.whole_blocks * patches + shape.window_blocks * shape.window
    return 2 * (shape.vision * patches + shape.merger * visual) + 4 * patches * shape.vision_width * attended


def prompt(shape: Shape, tokens: float) -> float:
    """FLOPs of one forward pass over the first tokens of a text."""
    return 2 * shape.text * tokens + 2 * shape.layers * shape.width * tokens**2


def response(shape: Shape, lengths: Lengths) -> float:
    """FLOPs of one forward pass over a response, with the head."""
    attended = lengths.prompt * lengths.response + lengths.response**2 / 2
    return 2 * (shape.text + shape.head) * lengths.response + 4 * shape.layers * shape.width * attended


def sampling(shape: Shape, lengths: Lengths, problems: float, n: int, kept: bool = True) -> Work:
    """N responses to each problem."""
    one = image(shape, lengths.visual) + prompt(shape, lengths.prompt) + n * response(shape, lengths)
    tokens = problems * n * lengths.response
    return Work(sampled_tokens=tokens, sampling_flops=problems * one, kept=tokens * TEXT_BYTES if kept else 0)


STAGES = {
    "train_sft": "sft",
    "generate": "passes",
    "train_grpo": "training",
    "generate_predictions": "evaluation",
    "curate_responses": "curation",
    "counterfactual_responses": "counterfactual",
}


def stage_of(rule: str) -> str | None:
    """The stage whose model computes in a rule, such as `training` of train_grpo_kept; None where none does."""
    if rule in STAGES:
        return STAGES[rule]
    return next((stage for name, stage in STAGES.items() if rule.startswith(f"{name}_")), None)
