"""Environments small enough to make by the dozen: locks of one-module wheels, installed by the scripts of `envs/`."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mmr1.plumbing.files import sha256

ROOT = Path(__file__).resolve().parents[1]
INSTALLER = ("install.sh", "local.sh", "uv.sh", "uv.lock", "pip_settings.py", "torchvision_schemas.py")


def write_wheel(folder: Path, name: str, version: str = "1.0", requires: str | None = None) -> Path:
    """A wheel of one module, whose `VERSION` is its version, and one command of the same name that prints it."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n\n\ndef main():\n    print({name!r}, VERSION)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},{_record_hash(text)},{len(text)}\n" for path, text in files.items()) + (
        f"{info}/RECORD,,\n"
    )
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return wheel


def _record_hash(text: str) -> str:
    found = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    return f"sha256={found}"


@dataclass
class SmallProject:
    """A folder with the installer of `envs/`, small locks, and the wheels that they name."""

    root: Path

    def __post_init__(self) -> None:
        (self.root / "envs").mkdir(parents=True)
        for name in INSTALLER:
            shutil.copy(ROOT / "envs" / name, self.root / "envs")
        shutil.copytree(ROOT / "scripts", self.root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        (self.root / ".envs").mkdir()
        (self.root / ".envs/uv").symlink_to(ROOT / ".envs/uv")

    @property
    def wheels(self) -> Path:
        return self.root / "wheels"

    def lock(self, name: str, *wheels: Path, digest: str | None = None) -> None:
        """Write envs/NAME.lock, .yaml and .post-deploy.sh as `make lock` does, but with the uv that is there.

        `digest` stands for the wheels' own.
        """
        envs = self.root / "envs"
        pins = [wheel.name.split("-")[:2] for wheel in wheels]
        (envs / f"{name}.lock").write_text(
            "".join(
                f"{package}=={version} \\\n    --hash=sha256:{digest or sha256(wheel)}\n"
                for (package, version), wheel in zip(pins, wheels, strict=True)
            )
        )
        (envs / f"{name}.yaml").write_text((ROOT / "envs/cpu.yaml").read_text())
        (envs / f"{name}.post-deploy.sh").write_text(
            "#!/usr/bin/env bash\nset -euo pipefail\n"
            f"sha256sum --check --quiet <<< '{sha256(envs / f'{name}.lock')}  envs/{name}.lock'\n"
            f'exec bash envs/install.sh {name} "$CONDA_PREFIX" .envs/uv/bin/uv\n'
        )

    def run(self, *words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project with these variables added."""
        environment = {**os.environ, "PIP_FIND_LINKS": str(self.wheels), **variables}
        return subprocess.run(
            [str(word) for word in words], cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )

    def make(self, *names: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """`make env`: offline, for the wheels lie here."""
        return self.run("bash", "envs/local.sh", *names, **{"UV_OFFLINE": "1", "PYTHON": base_python(), **variables})

    def marker(self, name: str) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.root / f".envs/{name}/mmr1-lock.json").read_text())
        return found


def base_python() -> str:
    """The Python that the tests' environment stands on."""
    return str(getattr(sys, "_base_executable", sys.executable))
