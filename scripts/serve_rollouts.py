"""Serve rollouts to a trainer on another node: one of the engines behind HTTP (see `mmr1.rollout.server_engine`).

It runs until it is ended (SIGTERM or Ctrl-C). `--ready` names a file that is written when it answers, with its
address, so that a job script can start the trainer then.
"""

import argparse
import signal
import sys
from pathlib import Path

import torch

from mmr1.plumbing.errors import run
from mmr1.plumbing.files import write_json
from mmr1.plumbing.progress import log
from mmr1.rollout.arguments import (
    add_engine_arguments,
    add_prompt_arguments,
    check_at_least_one,
    check_shared_arguments,
    encoder_of,
    engine_of,
)
from mmr1.rollout.server_engine import serve


def main() -> None:
    args = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    torch.set_num_threads(args.threads)
    encoder = encoder_of(args)
    engine = engine_of(args, encoder, args.max_images)
    try:
        server = serve(engine, encoder, args.host, args.port, max_images=args.max_images, max_tokens=args.max_tokens)
        url = f"http://{args.host}:{server.server_port}"
        if args.ready:
            write_json(args.ready, {"url": url})
        log(f"serving rollouts at {url}")
        server.serve_forever()
    finally:
        engine.close()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="checkpoint folder to begin with; the trainer sends newer weights")
    add("--max-tokens", type=int, required=True, help="bound on a response")
    add("--max-images", type=int, required=True, help="the most images a problem may have")
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    add("--port", type=int, default=0, help="port to listen on (default: any that is free)")
    add("--ready", type=Path, help="JSON file to write the address to when serving")
    add_prompt_arguments(parser)
    add_engine_arguments(parser)
    args = parser.parse_args()
    check_at_least_one(args, "max_tokens", "max_images")
    check_shared_arguments(args)
    return args


if __name__ == "__main__":
    run(main)
