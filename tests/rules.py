"""What Snakemake says of the workflow's rules, asked in the driver's environment."""

import json
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

ASK = """
import json, re, sys
from pathlib import Path
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
    config = ConfigSettings(configfiles=[Path(sys.argv[1])])
    workflow = api.workflow(ResourceSettings(cores=1), config_settings=config)._workflow
    rules = [
        {
            "name": rule.name,
            "command": rule.shellcmd or "",
            "environment": Path(str(rule.conda_env)).stem if rule.conda_env else None,
            "local": rule.norun or rule.name in workflow._localrules,
            "inputs": sorted(rule.input.keys()),
            "outputs": sorted(rule.output.keys()),
            "params": sorted(rule.params.keys()),
        }
        for rule in workflow.rules
    ]
    modules = sorted({name for name in sys.modules if name.startswith("mmr1")})
print(json.dumps({"rules": rules, "modules": modules}))
"""


@dataclass(frozen=True)
class Rule:
    """A rule of the workflow. `environment` is that of its `conda:` line; `local` rules run where Snakemake does."""

    name: str
    command: str
    environment: str | None
    local: bool
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[str, ...]

    @property
    def program(self) -> str | None:
        """The program of `scripts/` that it starts."""
        words = [word for word in self.command.split() if word.startswith("scripts/")]
        return Path(words[0]).stem if words else None


def rules(recipe: str) -> dict[str, Rule]:
    """The rules that a recipe's workflow has, by name."""
    return {
        one["name"]: Rule(**{name: tuple(value) if isinstance(value, list) else value for name, value in one.items()})
        for one in _asked(recipe)["rules"]
    }


def imported_modules(recipe: str) -> set[str]:
    """The modules of `mmr1` that the workflow itself imports."""
    return set(_asked(recipe)["modules"])


@cache
def _asked(recipe: str) -> dict[str, list]:
    done = subprocess.run(
        [ROOT / ".envs/driver/bin/python", "-c", ASK, recipe], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
