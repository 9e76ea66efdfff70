#!/usr/bin/env bash
# Make or renew the environments .envs/NAME from their locks, without conda and without touching any other Python.
# One that the present lock made is left alone. A new one gets its name when it is whole. NAME may also be uv: the
# installer alone, for `make lock`.
#   envs/local.sh NAME...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fits() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }

# The Python to build on: $PYTHON if given, else the first 3.11 among the usual places.
find_python() {
  if [ -n "${PYTHON:-}" ]; then
    fits "$PYTHON" && command -v "$PYTHON" && return
    echo "PYTHON=$PYTHON: expected Python 3.11, found $("$PYTHON" -V 2>&1 | tail -n 1)" >&2
    return 1
  fi
  for python in python3.11 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.11*/bin/python3.11 /usr/bin/python3.11 /usr/local/bin/python3.11; do
    fits "$python" && command -v "$python" && return
  done
  echo "Python 3.11 is needed (found $(python3 -V 2>/dev/null || echo none)): apt-get install python3.11 python3.11-venv, or pyenv install 3.11, or PYTHON=/path/to/python3.11" >&2
  return 1
}

current() {
  [ -f ".envs/$1/mmr1-lock.json" ] || return 1
  case $(cat ".envs/$1/mmr1-lock.json") in
    *"\"installer\": \"$(sha256sum < "envs/$1.post-deploy.sh" | cut -d ' ' -f 1)\""*) fits ".envs/$1/bin/python" ;;
    *) return 1 ;;
  esac
}

build() {
  local name=$1 new=.envs/.$1.new old=.envs/.$1.old start=$SECONDS
  echo "environment .envs/$name: installing envs/$name.lock" >&2
  rm -rf "$new" "$old"
  .envs/uv/bin/uv venv --quiet --no-config --no-project --relocatable --python "$python" "$new"
  bash envs/install.sh "$name" "$PWD/$new" "$PWD/.envs/uv/bin/uv"
  if [ -e ".envs/$name" ]; then mv ".envs/$name" "$old"; fi
  mv "$new" ".envs/$name"
  rm -rf "$old"
  echo "environment .envs/$name: ready after $((SECONDS - start)) s" >&2
}

mkdir -p .envs
exec 9> .envs/.lock
flock 9
trap 'rm -rf .envs/.*.new' EXIT
python=
for name in "$@"; do
  if current "$name"; then continue; fi
  if [ -z "$python" ]; then
    python=$(find_python)
    python=$("$python" -c 'import sys; print(sys.executable)')  # not pyenv's shim
    bash envs/uv.sh "$python" .envs/uv
  fi
  if [ "$name" != uv ]; then build "$name"; fi
done
