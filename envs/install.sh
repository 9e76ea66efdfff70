#!/usr/bin/env bash
# Install envs/NAME.lock into the Python environment at PREFIX: exactly those files, each checked against its hash, and
# nothing resolved. Both ways to an environment lead here: `make env` (envs/local.sh), and Snakemake's `--sdm conda`
# (envs/NAME.post-deploy.sh). UV is a uv to use; without it the one of envs/uv.lock is fetched for the time being.
#   envs/install.sh NAME PREFIX [UV]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$1 prefix=$2 uv=${3:-}
lock=$here/$name.lock python=$prefix/bin/python

if [ -z "$uv" ]; then
  temporary=$(mktemp -d)
  trap 'rm -rf "$temporary"' EXIT
  bash "$here/uv.sh" "$python" "$temporary/uv"
  uv=$temporary/uv/bin/uv
fi
settings=$("$(dirname "$uv")/python" "$here/pip_settings.py")
eval "$settings"
export UV_NO_CONFIG=1 UV_PYTHON_DOWNLOADS=never

# CPU builds of torch are not on PyPI. Where pip's settings offer the wheel, uv now finds it too; elsewhere PyTorch's own
# page (or a mirror of it, TORCH_PAGE) has it: it lists torch alone, so nothing else can come from there, and the hash
# says that it is the same file.
sources=()
torch=$(grep --only-matching --extended-regexp '^torch==[^ ]+\+cpu' "$lock" || true)
if [ -n "$torch" ] && ! "$uv" pip install --quiet --dry-run --no-deps --python "$python" "$torch" 2> /dev/null; then
  sources+=(--find-links "${TORCH_PAGE:-https://download.pytorch.org/whl/cpu/torch/}")
fi
quiet=()
if [ ! -t 2 ]; then quiet+=(--quiet); fi
# Compiled here once, unless UV_COMPILE_BYTECODE=0: where PYTHONDONTWRITEBYTECODE is set, every job would compile torch and
# sympy again (seconds each).
export UV_COMPILE_BYTECODE="${UV_COMPILE_BYTECODE:-1}"
"$uv" pip install "${quiet[@]}" --python "$python" --no-deps --require-hashes "${sources[@]}" --requirement "$lock"

if [ -n "$torch" ]; then
  site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  cp "$here/torchvision_schemas.py" "$site/"
  echo "import torchvision_schemas" > "$site/torchvision_schemas.pth"
fi

# What programs compare themselves with (scripts/mmr1/plumbing/environment.py), and what envs/local.sh looks at. Last.
digest() { sha256sum < "$1" | cut -d ' ' -f 1; }
printf '{"name": "%s", "lock": "%s", "installer": "%s"}\n' \
  "$name" "$(digest "$lock")" "$(digest "$here/$name.post-deploy.sh")" > "$prefix/mmr1-lock.json"
