#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: what is installed stands here by its hash, so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
b510878cc4c71b17ed54043ddd84dc9bc7b73e174d5e5b50250299c93e9e5b88  envs/gpu.lock
HASHES
exec bash envs/install.sh gpu "$CONDA_PREFIX"
