#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: what is installed stands here by its hash, so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
8904658f89402794e04c7bf0b47f9c1a28722ac3c39e8786b3c57fd07dd7070a  envs/cpu.lock
a5c2c3b7920d3492b7369ef1642ee93cde0495f61974af6090dd2e9ec2a81418  envs/torchvision_schemas.py
HASHES
exec bash envs/install.sh cpu "$CONDA_PREFIX"
