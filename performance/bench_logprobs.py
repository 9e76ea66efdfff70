"""Log-probabilities of chosen tokens in chunks against the plain way: peak memory and time, forward and backward.

    python performance/bench_logprobs.py [--tokens 2048] [--width 512] [--vocabulary 151936]

Each way runs in a process of its own; its peak is what it adds to the process before it. On a GPU if there is one (CUDA
is waited for), else on the CPU with one thread. Times are CPU seconds there, which other work does not stretch.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--vocabulary", type=int, default=151_936, help="Qwen2.5-VL-3B has 151,936")
    parser.add_argument("--way", choices=("plain", "chunked"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args.way, args.tokens, args.width, args.vocabulary)))
        return
    print(f"{args.tokens} tokens, width {args.width}, vocabulary {args.vocabulary}, float32")
    measured = {}
    for way in ("plain", "chunked"):
        command = [sys.executable, __file__, "--way", way, "--tokens", str(args.tokens), "--width", str(args.width)]
        command += ["--vocabulary", str(args.vocabulary)]
        measured[way] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(
            f"{way:>8}: {measured[way]['mib']:8.0f} MiB, {measured[way]['seconds']:6.2f} s on {measured[way]['device']}"
        )
    print(f"memory, chunked over plain: {measured['chunked']['mib'] / measured['plain']['mib']:.2f}")
    difference = abs(measured["chunked"]["sum"] - measured["plain"]["sum"]) / args.tokens
    print(f"difference of the mean log-probability: {difference:.1e}")


def measure(way: str, tokens: int, width: int, vocabulary: int) -> dict[str, float | str]:
    """Peak memory (MiB over what was there before) and seconds of one forward and backward pass."""
    import torch

    from mmr1.grpo.logprobs import LogprobHead

    torch.set_num_threads(1)
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    head = torch.nn.Linear(width, vocabulary, bias=False, device=device)
    hidden = torch.randn(tokens, width, device=device, requires_grad=True)
    targets = torch.randint(vocabulary, (tokens,), device=device)
    chunked = LogprobHead(head, 1.0, []).to(device)
    clock = time.perf_counter if device == "cuda" else time.process_time
    before, start = peak(), clock()
    if way == "chunked":
        logprobs, _ = chunked(hidden, targets)
    else:
        full = torch.log_softmax(head(hidden).float(), dim=1)
        logprobs = full.gather(1, targets[:, None])[:, 0]
    logprobs.mean().backward()
    total = float(logprobs.detach().double().sum())
    return {"mib": peak() - before, "seconds": clock() - start, "sum": total, "device": device}


def peak() -> float:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
