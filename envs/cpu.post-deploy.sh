#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: what is installed stands here by its hash, so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
a62c895b36c8544476907d90bb4304ae03386f3e8507c0ed5b82561358042566  envs/cpu.lock
a5c2c3b7920d3492b7369ef1642ee93cde0495f61974af6090dd2e9ec2a81418  envs/torchvision_schemas.py
HASHES
exec bash envs/install.sh cpu "$CONDA_PREFIX"
