"""Print, as shell exports, where pip is told to find packages, in the words of uv, which reads no settings of pip's.

What is already set for uv stays. Run by the Python whose pip is meant; standard library only.
"""

import ast
import os
import shlex
import subprocess
import sys

# pip's option, uv's variable, and what uv puts between several values.
SAME = (
    ("index-url", "UV_DEFAULT_INDEX", None),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("cert", "SSL_CERT_FILE", None),
)


def pip_settings() -> dict[str, str]:
    """pip's options by name. pip's own order: `[install]` over `[global]`, the environment over both."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    found = {}
    for section in ("global.", "install.", ":env:."):
        for line in listed.stdout.splitlines():
            key, _, value = line.partition("=")
            if key.startswith(section):
                found[key.removeprefix(section)] = ast.literal_eval(value)
    return found


def main() -> None:
    found = pip_settings()
    for option, variable, separator in SAME:
        if option in found and variable not in os.environ:
            value = found[option] if separator is None else separator.join(found[option].split())
            print(f"export {variable}={shlex.quote(value)}")
    if "extra-index-url" in found and "UV_INDEX_STRATEGY" not in os.environ:
        # pip's rule. uv's own would take a package from the first index that has any version of it.
        print("export UV_INDEX_STRATEGY=unsafe-best-match")


if __name__ == "__main__":
    main()
