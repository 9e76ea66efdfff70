#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: what is installed stands here by its hash, so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
bf06071c255ac50a680f2cee791210464208af7c5f8eb7c04f185643f5977bb3  envs/gpu.lock
HASHES
exec bash envs/install.sh gpu "$CONDA_PREFIX"
