#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: what is installed stands here by its hash, so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
e8c8f9610b34e4509663252a09d63ee05cee01469cebb2b1c3cd0c9ae5b8a02f  envs/driver.lock
HASHES
exec bash envs/install.sh driver "$CONDA_PREFIX"
