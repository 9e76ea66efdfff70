"""What code made a file: a digest of what can change a job's numbers, over the syntax tree.

That is the program, the local modules that it imports, directly or not, and the plugins that its settings name (one
file of a folder each, loaded by name: `mmr1.plugins`). Left out is what cannot change a number: `plumbing/` (errors,
files, progress, records, environment, usage, start-up, interruption) and declarations of settings, whose values are
part of the digest of the settings. Comments, docstrings and formatting do not enter either, so that only a changed
meaning reruns a job (docs/design.md §7). Standard library only: the workflow calls this in the driver's environment.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from os.path import isfile
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2]


# Modules outside the digest: what cannot change a number, what declares settings, and what finds plugins by name.
PLUMBING = "mmr1/plumbing/"
DECLARATIONS = ("settings.py", "plugins.py", "recipe.py")


def code_digest(program: str, plugins: Iterable[str] = ()) -> str:
    """The sha256 over what computes in a program of `scripts/` (its name, such as "generate").

    `plugins` are the files of the plugins that it loads, as paths under `scripts/` (see `plugin_files` of settings).
    """
    files = computing_files(program, plugins)
    return hashlib.sha256("\n".join(f"{name} {value}" for name, value in files.items()).encode()).hexdigest()


def computing_files(program: str, plugins: Iterable[str] = ()) -> dict[str, str]:
    """The files of `code_digest`: path under `scripts/` to the digest of its syntax tree."""
    return {name: value for name, value in code_files(program, plugins).items() if computes(name)}


def plumbing_files(program: str, plugins: Iterable[str] = ()) -> dict[str, str]:
    """The files that a program uses and that compute nothing: path under `scripts/` to digest. Records show them."""
    return {name: value for name, value in code_files(program, plugins).items() if not computes(name)}


def text_hashes(files: Iterable[str]) -> dict[str, str]:
    """The sha256 of the bytes of these files under `scripts/`, and of the workflow's: by path in the checkout.

    It tells a changed comment, which no digest of a syntax tree does.
    """
    root = SCRIPTS.parent
    workflow = [root / "Snakefile", *(root / "workflow/rules").glob("*.smk")]
    paths = sorted({*(SCRIPTS / file for file in files), *(path for path in workflow if path.is_file())})
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def computes(file: str) -> bool:
    """Whether a file, as a path under `scripts/`, can change what a job computes."""
    return not (file.startswith(PLUMBING) or Path(file).name in DECLARATIONS)


def code_files(program: str, plugins: Iterable[str] = ()) -> dict[str, str]:
    """A program, its plugins and each local module they import, directly or not: path under `scripts/` to digest."""
    digests: dict[str, str] = {}
    queue = [f"{program}.py", *plugins]
    while queue:
        name = queue.pop()
        if name not in digests:
            digests[name], imports = _parsed(SCRIPTS / name)
            queue.extend(imports)
    return dict(sorted(digests.items()))


def tree_digest(path: Path) -> str:
    """The digest of one file's syntax tree. Raises SyntaxError for a file that is no Python."""
    return _parsed(path)[0]


@cache
def _parsed(path: Path) -> tuple[str, tuple[str, ...]]:
    """The digest of a file's syntax tree, and the files that it imports, as paths under `scripts/`."""
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
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return  # imports that are never run
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for inner in getattr(node, name, ()):
            yield from _statements(inner)


def _module_files(module: str) -> list[str]:
    """The file of a local module and the `__init__` files of its packages; nothing for any other module.

    As texts: with pathlib the workflow took twice as long to load, and thousands of modules are asked for.
    """
    parts = module.split(".")
    files = []
    for depth in range(1, len(parts) + 1):
        base = "/".join(parts[:depth])
        files += [file for file in (f"{base}/__init__.py", f"{base}.py") if isfile(f"{SCRIPTS}/{file}")]
    return files
