"""The embedded data set: right answers, no shared images, and the real model classes around it."""

from pathlib import Path
from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from mmr1.answers.response import last_boxed
from mmr1.data.chat import shown_question
from mmr1.data.problems import Problem
from mmr1.data.prompts import PromptEncoder
from mmr1.data.sources import digits
from mmr1.models.family import family
from mmr1.plumbing.settings import numbers
from mmr1.rewards.format import well_formed


def made(size: int) -> list[Problem]:
    """Problems of the recipe's kinds: three tasks, one to eight digits."""
    return digits.make_problems("train", size, 0, digits.load(held_out=False), get_args(digits.Task), 8)


def test_answers_are_right() -> None:
    right = {"max": lambda labels: str(max(labels)), "sum": lambda labels: str(sum(labels)), "read": written}
    for problem in made(96):
        assert problem.answer == right[problem.metadata["task"]](problem.metadata["labels"])
        assert problem.question.endswith(digits.QUESTIONS[problem.metadata["task"]])
        assert len(problem.images) == problem.metadata["count"]


def written(labels: list[int]) -> str:
    """The number that the digits write, leading zeros and all."""
    return "".join(str(label) for label in labels)


def test_tasks_and_counts_are_balanced() -> None:
    kinds = [(problem.metadata["task"], problem.metadata["count"]) for problem in made(240)]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        (task, count): 10 for task in ("max", "sum", "read") for count in range(1, 9)
    }


def test_without_a_word_there_are_two_tasks_and_up_to_four_digits() -> None:
    """As before the third was added: the recipe's keys mean what they meant, and the same problems come out."""
    problems = digits.make_problems("a", 80, 0, digits.load(held_out=False))
    assert {(one.metadata["task"], one.metadata["count"]) for one in problems} == {
        (task, count) for task in ("max", "sum") for count in range(1, 5)
    }
    assert numbers(digits.Settings(test=3, tasks=["max", "sum"], digits=4)) == numbers(digits.Settings(test=3))
    with pytest.raises(ValidationError, match="sum is named twice"):
        digits.Settings(tasks=["sum", "sum"])


def test_training_and_held_out_images_are_disjoint() -> None:
    training, held_out = ({digit.png for digit in digits.load(side)} for side in (False, True))
    assert len(training) > 1000
    assert len(held_out) > 500
    assert not training & held_out


def test_a_problem_depends_on_its_name_index_and_seed_only() -> None:
    pool = digits.load(held_out=False)
    assert digits.make_problems("a", 20, 0, pool)[:5] == digits.make_problems("a", 5, 0, pool)
    assert digits.make_problems("a", 5, 0, pool) != digits.make_problems("a", 5, 1, pool)


def test_worked_responses_have_the_format_and_the_answer() -> None:
    for problem in made(48):
        response = digits.worked_response(problem)
        assert well_formed(response)
        assert last_boxed(response) == problem.answer


def test_the_tokenizer_gives_back_what_it_is_given() -> None:
    tokenizer = family("qwen2_5_vl").tiny_processor().tokenizer
    text = "<think>3+5=8</think><answer>\\boxed{8}</answer> ~\n!"
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_a_digit_is_one_visual_token(digit_problems: list[Problem]) -> None:
    processor = family("qwen2_5_vl").tiny_processor()
    encoder = PromptEncoder(processor, "Think.")
    for problem in digit_problems[:8]:
        prompt = encoder.encode(problem)
        assert int((prompt.input_ids == processor.image_token_id).sum()) == len(problem.images)
        assert prompt.image_grid_thw is not None
        assert prompt.image_grid_thw.tolist() == [[1, 2, 2]] * len(problem.images)


def test_prompts_encoded_together_equal_prompts_encoded_alone(digit_problems: list[Problem]) -> None:
    processor = family("qwen2_5_vl").tiny_processor()
    together = PromptEncoder(processor, "Think.").encode_many(digit_problems[:6])
    for problem, prompt in zip(digit_problems, together, strict=False):
        alone = PromptEncoder(processor, "Think.", cache_bytes=0).encode(problem)
        assert torch.equal(prompt.input_ids, alone.input_ids)
        assert prompt.pixel_values is not None
        assert alone.pixel_values is not None
        assert torch.equal(prompt.pixel_values, alone.pixel_values)


def test_the_system_prompt_goes_where_the_recipe_says(digit_problems: list[Problem]) -> None:
    processor = family("qwen2_5_vl").tiny_processor()
    problem = digit_problems[0]
    as_system = PromptEncoder(processor, "Think.", "system").text(problem)
    in_question = PromptEncoder(processor, "Think.", "user").text(problem)
    assert as_system.startswith("<|im_start|>system\nThink.<|im_end|>\n<|im_start|>user\n")
    assert in_question.startswith("<|im_start|>user\nThink. <|vision_start|>")


def test_choices_are_shown_with_letters() -> None:
    problem = Problem("a", "test", "Which?", (), "B", choices=("one", "two"))
    assert shown_question(problem) == "Which?\nChoices:\n(A) one\n(B) two"
    listed = Problem("a", "test", "Which? (A) one", (), "A", choices=("one",), metadata={"choices_in_question": True})
    assert shown_question(listed) == "Which? (A) one"


def test_the_prompt_file_has_no_surprises() -> None:
    text = (Path(__file__).parents[1] / "config/prompts/digits.txt").read_text()
    assert text == text.strip() + "\n"
