"""Prints what a small model really uses, in bytes: tensors alive just before an optimizer step, and activations."""

import gc
import json
import sys
from pathlib import Path

import torch

from grpo_fixtures import ALONE, random_groups, settings
from mmr1.data.prompts import PromptEncoder
from mmr1.data.sources import digits
from mmr1.grpo import distributed
from mmr1.grpo.learner import Learner
from mmr1.grpo.memory import estimate
from mmr1.grpo.policy import Policy, Reference
from mmr1.models.action_space import end_of_sequence
from mmr1.models.load import shape_in
from mmr1.models.tiny import TinyArchitecture, build
from mmr1.plumbing.files import read_json


def alive() -> int:
    """Bytes of all tensors' storages, each once."""
    gc.collect()
    tensors = [one for one in gc.get_objects() if isinstance(one, torch.Tensor)]
    return sum({one.untyped_storage().data_ptr(): one.untyped_storage().nbytes() for one in tensors}.values())


def main() -> None:
    folder, stage, checkpointing = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "checkpointing"
    architecture = TinyArchitecture(hidden_size=256, intermediate_size=768, layers=6)
    build(folder / "model", architecture, seed=0)
    chosen = settings(
        share_prompts=False,
        micro_batch_tokens=2048,
        max_response_tokens=100,
        gradient_checkpointing=checkpointing,
    )
    division = read_json(Path(__file__).parents[1] / "config" / "deepspeed" / f"zero{stage}.json")
    # Room for one bucket, as for any model that is not tiny.
    division["zero_optimization"]["reduce_bucket_size"] = 1_000_000
    distributed.join()
    before = alive()
    policy = Policy(folder / "model", chosen, [], division)
    learner = Learner(
        chosen, policy, Reference(folder / "model", chosen, [], policy), PromptEncoder(policy.processor), ALONE, folder
    )
    problems = digits.make_problems("test", 4, seed=0, digits=digits.load(held_out=False))
    end = end_of_sequence(policy.processor.tokenizer)
    groups = random_groups(problems, 4, 0, range(8, 100), end, longest=100)

    held: list[int] = []
    saved: dict[int, int] = {}
    most: list[int] = []
    step, logprobs = policy.step, policy.logprobs

    def watched_step() -> float:
        held.append(alive() - before)
        return step()

    def watched_logprobs(batch):
        own = {weight.untyped_storage().data_ptr() for weight in policy.hf.parameters()}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                saved[storage.data_ptr()] = storage.nbytes()
            return tensor

        saved.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            result = logprobs(batch)
        most.append(sum(saved.values()))
        return result

    policy.step, policy.logprobs = watched_step, watched_logprobs
    for number in range(2):  # at the second step the optimizer has its state
        learner.learn(number, groups)
    needed = estimate(shape_in(folder / "model"), chosen, division, 1)
    print(json.dumps({"held": held[-1], "activations": max(most), "parts": {**needed.held, **needed.training}}))


if __name__ == "__main__":
    main()
