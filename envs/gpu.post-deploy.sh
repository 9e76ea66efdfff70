#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: what is installed stands here by its hash, so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
3276af31f42deb76cacf3d6e69a9ad892d664c950a5c50a61e08b653ad4c8676  envs/gpu.lock
HASHES
exec bash envs/install.sh gpu "$CONDA_PREFIX"
