#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: what is installed stands here by its hash, so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
5bdaf98a40a1d7276c96b070efe7edd757372209fc72101812c6e6f5cdfbf8f5  envs/driver.lock
HASHES
exec bash envs/install.sh driver "$CONDA_PREFIX"
