#!/usr/bin/env bash
# Make the folder DIR, a virtual environment that holds nothing but pip and the uv of envs/uv.lock.
#   envs/uv.sh PYTHON DIR
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=$1 folder=$2

stamp=$(sha256sum < "$here/uv.lock")
if [ -x "$folder/bin/uv" ] && [ "$(cat "$folder/stamp" 2>/dev/null)" = "$stamp" ]; then
  exit 0
fi
rm -rf "$folder"
if ! said=$("$python" -m venv "$folder" 2>&1); then
  rm -rf "$folder"
  case $said in
    *ensurepip*) echo "$python cannot make virtual environments: install its venv module (apt-get install python3.11-venv)" >&2 ;;
    *) echo "$said" >&2 ;;
  esac
  exit 1
fi
"$folder/bin/python" -m pip --disable-pip-version-check install --quiet --quiet --require-hashes --requirement "$here/uv.lock"
echo "$stamp" > "$folder/stamp"
