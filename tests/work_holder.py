"""A program that is in a work folder already, for tests of a second one."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "scripts"

HOLD = """
import sys
from pathlib import Path
from mmr1.plumbing.work_folder import WorkFolder
WorkFolder(Path(sys.argv[1])).hold()
"""


@contextmanager
def held_elsewhere(folder: Path, then: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a folder until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"{HOLD}{then}\nprint('held', flush=True); sys.stdin.read()", str(folder)],
        cwd=SCRIPTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
