#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: what is installed stands here by its hash, so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
c45c03fab475e653735a567a84cd4cf5d62fa24ea6ee89e95b166330e0b81f89  envs/gpu.lock
HASHES
exec bash envs/install.sh gpu "$CONDA_PREFIX"
