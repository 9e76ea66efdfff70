#!/usr/bin/env bash
# Write envs/NAME.linux-64.pin.txt: every package of conda's that an environment consists of, by URL and hash, solved from
# envs/NAME.yaml. Snakemake installs from such a file instead of solving. Needs conda and a channel in reach.
#   envs/pins.sh NAME...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v conda > /dev/null || {
  echo "conda-pins: expected conda on PATH, found none; make env needs no conda and no pins" >&2
  exit 2
}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for name in "$@"; do
  conda env create --quiet --file "envs/$name.yaml" --prefix "$folder/$name"
  conda list --explicit --sha256 --prefix "$folder/$name" > "$folder/$name.txt"
  mv "$folder/$name.txt" "envs/$name.linux-64.pin.txt"
  echo "envs/$name.linux-64.pin.txt: $(grep -c '^http' "envs/$name.linux-64.pin.txt" || true) packages" >&2
done
