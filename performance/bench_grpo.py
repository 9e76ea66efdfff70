"""A GRPO step on digits, ours against TRL's GRPOTrainer: same model, problems, batch, sampling, rewards and loss.

    python performance/bench_grpo.py [--steps 5] [--model CHECKPOINT]

Each trainer runs in a process of its own with one thread, one after the other. Without --model a base model is
fine-tuned first, so that responses end where trained ones do. Times are medians over steps, the first left out: seconds
on the clock, and CPU seconds of the process, which other work on the machine does not stretch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from mmr1.data import contracts  # noqa: E402
from mmr1.data.conversations import write_conversations  # noqa: E402
from mmr1.data.problems import read_problems, write_problems  # noqa: E402
from mmr1.data.sources import digits  # noqa: E402
from mmr1.models import tiny as tiny_model  # noqa: E402
from mmr1.plumbing.files import read_jsonl, write_json  # noqa: E402

PROBLEMS, ROLLOUTS, LONGEST = 32, 8, 32
RATE, KL = 3e-4, 0.01
PROMPT = ROOT / "config" / "prompts" / "digits.txt"
SFT = {
    **{"epochs": 1, "batch_size": 64, "micro_batch_size": 64, "learning_rate": 3e-3, "precision": "fp32"},
    **{"gradient_checkpointing": False, "save_every": 1000, "evaluate_every": 1000, "cutoff": 256},
}
GRPO = {
    **{"group_size": ROLLOUTS, "mini_batch_size": PROBLEMS, "learning_rate": RATE, "temperature": 1.0},
    **{
        "max_prompt_tokens": 128,
        "max_response_tokens": LONGEST,
        "loss": {"name": "grpo", "loss_average": "batch", "kl_coefficient": KL},
    },
    **{"precision": "fp32", "gradient_checkpointing": False, "engine": {"name": "transformers"}},
    **{
        "share_prompts": True,
        "min_pixels": None,
        "max_pixels": None,
        "machine": {"verify_workers": 1, "save_every": 1000},
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--model", type=Path, help="a digits checkpoint after supervised fine-tuning")
    parser.add_argument("--trl", type=Path, help=argparse.SUPPRESS)  # the folder of this script's own second process
    args = parser.parse_args()
    if args.trl:
        run_trl(args.trl, args.model, args.steps)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_problems(folder / "problems.parquet", digits.make_problems("bench", 512, 0, digits.load(held_out=False)))
        model = args.model.resolve() if args.model else fine_tuned(folder)
        results = {"ours": run_ours(folder, model, args.steps), "TRL": timed_trl(folder, model, args.steps)}
    for trainer, steps in results.items():
        tokens = sum(step["tokens"] for step in steps[1:]) / (len(steps) - 1)
        print(f"{trainer:>5}: {median_of(steps, 'seconds'):6.2f} s per step, {median_of(steps, 'cpu'):6.2f} CPU s, "
              f"{tokens / PROBLEMS / ROLLOUTS:.1f} tokens per response")  # fmt: skip
    for clock in ("seconds", "cpu"):
        ratio = median_of(results["ours"], clock) / median_of(results["TRL"], clock)
        print(f"ours over TRL, {clock}: {ratio:.2f} (to be at most 0.7)")


def median_of(steps: list[dict[str, float]], name: str) -> float:
    return median(step[name] for step in steps[1:])


def program(name: str, **options: Any) -> None:
    words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, ROOT / "scripts" / f"{name}.py", *words], check=True, env=environment)


def fine_tuned(folder: Path) -> Path:
    """A checkpoint that answers in the format, after 60 steps."""
    tiny_model.build(folder / "base", tiny_model.TinyArchitecture(), 0)
    for name, size, held_out in (("sft", 64 * 60, False), ("sft_validation", 64, True)):
        problems = digits.make_problems(name, size, 0, digits.load(held_out))
        write_conversations(folder / f"{name}.parquet", [(one, digits.worked_response(one)) for one in problems])
    write_json(folder / "sft.json", SFT)
    program(
        "train_sft",
        settings=folder / "sft.json",
        model=folder / "base",
        conversations=folder / "sft.parquet",
        validation=folder / "sft_validation.parquet",
        system_prompt=PROMPT,
        out=folder / "model",
        metrics=folder / "sft.jsonl",
        work=folder / "sft_work",
    )
    return folder / "model"


def run_ours(folder: Path, model: Path, steps: int) -> list[dict[str, float]]:
    names = [problem.id for problem in read_problems(folder / "problems.parquet", images=False)]
    none = {"origin": "uniform", "ovs": None, "weight": None}
    rows = [
        {"step": step, "slot": slot, "problem_id": names[(step * PROBLEMS + slot) % len(names)], **none}
        for step in range(steps)
        for slot in range(PROBLEMS)
    ]
    contracts.write(folder / "schedule.parquet", rows, contracts.SCHEDULE)
    write_json(folder / "grpo.json", GRPO)
    files = {"problems": "problems.parquet", "schedule": "schedule.parquet", "settings": "grpo.json", "out": "out"}
    files |= {name: f"{name}.parquet" for name in ("rollouts", "rewards")} | {"work": "work"}
    files |= {name: f"{name}.jsonl" for name in ("metrics", "timings")}
    paths = {name: folder / file for name, file in files.items()}
    program("train_grpo", model=model, reference=model, system_prompt=PROMPT, seed=0, **paths)
    lengths = [row["response_length_mean"] * PROBLEMS * ROLLOUTS for row in read_jsonl(folder / "metrics.jsonl")]
    return [
        {"seconds": row["seconds"], "cpu": row["cpu_seconds"], "tokens": tokens}
        for row, tokens in zip(read_jsonl(folder / "timings.jsonl"), lengths, strict=True)
    ]


def timed_trl(folder: Path, model: Path, steps: int) -> list[dict[str, float]]:
    command = [sys.executable, __file__, "--trl", folder, "--model", model, "--steps", str(steps)]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    return json.loads((folder / "trl.json").read_text())


def run_trl(folder: Path, model_folder: Path, steps: int) -> None:
    """TRL's trainer on the same problems; each step's times go to `trl.json`."""
    import torch
    from datasets import Dataset
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from mmr1.data.images import open_image
    from mmr1.data.problems import IMAGE_MARK
    from mmr1.models.action_space import suppressed_tokens
    from mmr1.rewards.accuracy import judge
    from mmr1.rewards.format import well_formed
    from mmr1.rewards.verifier.verify import Verifier

    torch.set_num_threads(1)
    problems = read_problems(folder / "problems.parquet")[: PROBLEMS * steps]
    processor = AutoProcessor.from_pretrained(model_folder)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder, dtype=torch.float32)
    system = {"role": "system", "content": PROMPT.read_text().strip()}
    rows = [
        {
            "prompt": [system, {"role": "user", "content": problem.question.replace(IMAGE_MARK, "")}],
            "images": [open_image(data) for data in problem.images],
            "gold": problem.answer,
        }
        for problem in problems
    ]
    verifier, lengths = Verifier(1, 2.0), []

    def reward(completions: list[Any], gold: list[str], completion_ids: list[Any], **_: Any) -> list[float]:
        lengths.append(sum(len(ids) for ids in completion_ids))
        texts = [one[0]["content"] for one in completions]
        return [one.accuracy + well_formed(text) for one, text in zip(judge(gold, texts, verifier), texts, strict=True)]

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.steps: list[dict[str, float]] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.begin = time.monotonic(), time.process_time()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            wall, cpu = time.monotonic() - self.begin[0], time.process_time() - self.begin[1]
            self.steps.append({"seconds": wall, "cpu": cpu, "tokens": lengths[-1]})

    clock = Clock()
    arguments = GRPOConfig(
        output_dir=str(folder / "trl"),
        max_steps=steps,
        per_device_train_batch_size=PROBLEMS * ROLLOUTS,
        num_generations=ROLLOUTS,
        steps_per_generation=1,
        max_completion_length=LONGEST,
        temperature=1.0,
        beta=KL,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        weight_decay=0.01,
        max_grad_norm=1.0,
        loss_type="bnpo",
        scale_rewards="group",
        use_bias_correction_kl=False,
        generation_kwargs={"suppress_tokens": suppressed_tokens(processor.tokenizer, model.config)},
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )
    trainer = GRPOTrainer(
        model,
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=processor,
        callbacks=[clock],
    )
    trainer.train()
    verifier.close()
    write_json(folder / "trl.json", clock.steps)


if __name__ == "__main__":
    main()
