#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: what is installed stands here by its hash, so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
5d9d4c73ac71d89495a942e8c2f863cfc5a5b55f0e13667a111caf494171699f  envs/driver.lock
HASHES
exec bash envs/install.sh driver "$CONDA_PREFIX"
