#!/usr/bin/env bash
# Written by `make lock`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: the hashes are here so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
5bdaf98a40a1d7276c96b070efe7edd757372209fc72101812c6e6f5cdfbf8f5  envs/driver.lock
e5710221b7c1684e4f675f50250405f886ecf5d54cc47ae7b1ee77175e1f3e86  envs/uv.lock
5569235d689efce1e02edb23369dff4b12044d38be9d5582d38306e9e7210372  envs/install.sh
e39ea7a900b31889b4dd739d43a57b8ed8d368896020cac8bb2aea54bad26caa  envs/uv.sh
20eadcd04fcc1c38f15572d01b9c317aacd0ec18caf6567dbe23de7ce6b3625c  envs/pip_settings.py
a5c2c3b7920d3492b7369ef1642ee93cde0495f61974af6090dd2e9ec2a81418  envs/torchvision_schemas.py
HASHES
exec bash envs/install.sh driver "$CONDA_PREFIX"
