#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: what is installed stands here by its hash, so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
5d87c8949982db10f1c07cd8c28edff3ec812863cad91e4acd59b1d4eb20335b  envs/gpu.lock
HASHES
exec bash envs/install.sh gpu "$CONDA_PREFIX"
