"""What lies beside the records: the kept recipe, and the list of hashes that anchors all of it (`make freeze`)."""

from collections.abc import Iterator
from pathlib import Path

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import NOT_CONTENT, atomic, digest, read_json, sha256
from mmr1.plumbing.makers import RECORDS
from mmr1.provenance.audit.archive import LOGS, Archive
from mmr1.provenance.audit.findings import Finding, differs, harmless, short
from mmr1.provenance.audit.hashes import Hashes, hash_of

FROZEN = "records.sha256"
RECIPE = "recipe.json"


def check_recipe(archive: Archive) -> Iterator[Finding]:
    """`recipe.json` is as a call of the workflow left it, and the recipe's file is as that call read it.

    Whether a changed recipe makes other jobs only the workflow can say: a full audit asks it.
    """
    path = archive.results / RECIPE
    if not path.exists():
        return
    try:
        kept = read_json(path)
        trained, recipes = kept["trained"], kept["recipes"]
        changed = [name for name, values in recipes.items() if digest(values)[:12] != name]
        changed += [name for name in trained.values() if name not in recipes]
        file, expected = kept["file"], kept.get("sha256")
    except (UserError, KeyError, TypeError, AttributeError) as error:
        yield differs(archive.shown(path), f"expected the recipe that was kept: {error}", f"rm {archive.shown(path)}")
        return
    if changed:
        problem = f"the values of {', '.join(changed)} were changed after they were written"
        yield differs(archive.shown(path), problem, f"rm {archive.shown(path)}")
    found = hash_of(archive.checkout / file)
    if expected is not None and found != expected:
        problem = f"the last call read {short(expected)}, found {short(found)}; --full says whether it matters"
        yield harmless(file, problem)


def freeze(results: Path) -> Path:
    """Write `records.sha256`: a line of `sha256sum` for each record, note, log and the kept recipe. Returns its path.

    Records hold the hashes of all else, so this list anchors everything; commit it, or sign it.
    """
    target = results / FROZEN
    files = _anchored(results)
    if not files:
        raise UserError(f"{results}: expected the records of finished jobs, found none")
    with atomic(target) as temporary:
        temporary.write_text("".join(f"{sha256(path)}  {path.relative_to(results).as_posix()}\n" for path in files))
    return target


def check_frozen(archive: Archive, hashes: Hashes, listed: Path | None = None) -> Iterator[Finding]:
    """What the list anchors is as it was. What was made after it is said."""
    path = listed or archive.results / FROZEN
    if not path.exists():
        if listed is not None:
            raise UserError(f"{listed}: no such file; make freeze writes it")
        return
    expected = dict(_lines(path))
    for place, value in expected.items():
        found = hashes.of(archive.results / place)
        if found != value:
            problem = f"{path.name} has {short(value)}, found {short(found)}"
            yield differs(archive.shown(archive.results / place), problem, _remedy(archive, place, path))
    new = [one for one in _anchored(archive.results) if one.relative_to(archive.results).as_posix() not in expected]
    if new:
        more = f" and {len(new) - 1} more" if new[1:] else ""
        problem = f"was made after it, as {archive.shown(new[0])}{more}"
        yield harmless(archive.shown(path), problem, f"make freeze RESULTS={archive.shown(archive.results)}")


def _remedy(archive: Archive, place: str, listed: Path) -> str:
    """A record is made again by its job, and then stands in a new list; else only the list can be made anew."""
    if place.startswith(f"{RECORDS}/") and place.endswith(".json"):
        return f"{archive.again(archive.results / place)}; make freeze RESULTS={archive.shown(archive.results)}"
    return f"make freeze RESULTS={archive.shown(archive.results)}"


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        value, _, place = line.partition("  ")
        if len(value) != 64 or not place or Path(place).is_absolute() or ".." in Path(place).parts:
            raise UserError(f"{path}: line {number}: expected a sha256, two blanks and a path, found {line[:80]!r}")
        yield place, value


def _anchored(results: Path) -> list[Path]:
    folders = [results / RECORDS, results / LOGS]
    files = [
        path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name not in NOT_CONTENT
    ]
    recipe = results / RECIPE
    return sorted([*files, *([recipe] if recipe.is_file() else [])])
