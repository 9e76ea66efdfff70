"""What code made a file: a digest of a program and of every local module it imports, over the syntax tree.

Comments, docstrings and formatting do not enter it, so that only a changed meaning reruns a job (DESIGN §9). Standard
library only: the workflow calls this in the driver's environment.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2]


def code_digest(program: str) -> str:
    """The sha256 over a program in `scripts/` (its name, such as "generate") and the local modules it imports."""
    return hashlib.sha256(
        "\n".join(f"{name} {value}" for name, value in code_files(program).items()).encode()
    ).hexdigest()


def code_files(program: str) -> dict[str, str]:
    """For a program and each local module it imports, directly or not: path under `scripts/` to syntax-tree digest."""
    found: dict[str, str] = {}
    queue = [SCRIPTS / f"{program}.py"]
    while queue:
        path = queue.pop()
        name = path.relative_to(SCRIPTS).as_posix()
        if name not in found:
            tree_digest, imports = _parsed(path)
            found[name] = tree_digest
            queue.extend(imports)
    return dict(sorted(found.items()))


@cache
def _parsed(path: Path) -> tuple[str, tuple[Path, ...]]:
    tree = ast.parse(path.read_text(), filename=str(path))
    modules: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or not node.module:
                raise ValueError(f"{path}: relative imports are not followed; import from mmr1 by its full name")
            modules.add(node.module)
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    imports = tuple(sorted({file for module in modules for file in _module_files(module)}))
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """A module and every statement in it: docstrings and imports stand nowhere else, and expressions are many."""
    yield node
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, name, ()):
            yield from _statements(inner)


def _module_files(module: str) -> list[Path]:
    """The file of a local module and the `__init__` files of its packages; nothing for any other module."""
    parts = module.split(".")
    files = []
    for depth in range(1, len(parts) + 1):
        base = SCRIPTS.joinpath(*parts[:depth])
        files += [file for file in (base / "__init__.py", base.with_suffix(".py")) if file.is_file()]
    return files
