"""MMR1-SFT as it really lies: source folders with JSON files of their own in the tars, an undocumented image key, and
paths, links, marks and texts of every kind that such a set has. A mirror of it is fetched by the real client.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from hub_stand_in import COMMIT, serving
from mmr1.data.conversations import ConversationFile
from mmr1.data.problems import BrokenRow
from mmr1.data.tar_files import ImageStore
from mmr1.plumbing.files import read_json
from project import ROOT

NFC, NFD = (unicodedata.normalize(form, "réponse") for form in ("NFC", "NFD"))
TEXTS = 1000  # that come before the first item with an image


def png(color: int) -> bytes:
    """An image that is known by its colour."""
    data = io.BytesIO()
    Image.new("RGB", (28, 28), (color, 0, 0)).save(data, "PNG")
    return data.getvalue()


def tar(files: dict[str, bytes], links: dict[str, str] | None = None, symbolic: dict[str, str] | None = None) -> bytes:
    """A tar of files, and of links to files in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            made.addfile(header, io.BytesIO(data))
        for kind, named in ((tarfile.LNKTYPE, links), (tarfile.SYMTYPE, symbolic)):
            for name, target in (named or {}).items():
                header = tarfile.TarInfo(name)
                header.type, header.linkname = kind, target
                made.addfile(header)
    return buffer.getvalue()


TARS = {
    "part_0000.tar": tar(
        {
            "DocReason/annotations.json": json.dumps([{"relative_image_path": "images/1.png"}]).encode(),
            "DocReason/images/1.png": png(1),
            "DocReason/images/2.png": png(2),
            "AtomMath-sft/AtomMATH-SFT.json": b"[]",
            "AtomMath-sft/images/1.png": png(3),
            "AtomMath-sft/images/readme.txt": b"no image",
            "shared/both.png": png(4),
            "shared/differs.png": png(5),
            "single.png": png(6),
            "deep/a/b/c.png": png(7),
        },
        links={"links/hard.png": "DocReason/images/2.png", "links/lost.png": "nowhere.png"},
        symbolic={"links/soft.png": "hard.png"},
    ),
    "part_0001.tar": tar(
        {
            "./shared/both.png": png(4),
            "shared/differs.png": png(50),
            f"AtomMath-sft/images/{NFD}.png": png(8),
            "AtomMath-sft/images/broken.png": png(9)[:40],
        }
    ),
}


def chat(question: str = "<image>What is it?", answer: str = "\\boxed{1}", **more: Any) -> dict[str, Any]:
    return {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}], **more}


# Each item beside the colours of its images.
GOOD: list[tuple[dict[str, Any], list[int]]] = [
    (chat(image="DocReason/images/1.png"), [1]),
    (chat(image="/mnt/data/sft/AtomMath-sft/images/1.png"), [3]),  # another prefix than in the tar
    (chat(image="AtomMath-sft\\images\\1.png"), [3]),
    (chat(image="c.png"), [7]),  # a file name that no other file has
    (chat(image="b/c.png"), [7]),
    (chat(image="elsewhere/single.png"), [6]),  # in a tar without a folder
    (chat(image="shared/both.png"), [4]),  # in two tars, with the same bytes
    (chat(image="links/hard.png"), [2]),
    (chat(image="links/soft.png"), [2]),
    (chat(image=f"AtomMath-sft/images/{NFC}.png"), [8]),
    (chat(image="DocReason/images/1.png", images=["DocReason/images/1.png"]), [1]),  # both keys, one image
    (chat("<image><image>?", image="DocReason/images/1.png", images=["1.png", "2.png"], id=7), []),  # see below
    (chat(picture_path=["DocReason/images/2.png"]), [2]),  # a key that the first items do not have
    (chat("Without a mark.", image="DocReason/images/1.png"), [1]),
    (chat("Only a text.", image="", images=None), []),
]
GOOD[11] = (
    chat("<image><image>?", image="2.png", images=["DocReason/images/1.png", "DocReason/images/2.png"]),
    [1, 2],  # the key with as many images as marks
)

# Each with its reason, and a part of what was found.
BROKEN: list[tuple[Any, str, str]] = [
    (chat(image="DocReason/images/lost.png"), "expected a file of the tars", "none called DocReason/images/lost.png"),
    (chat(image="Other/2.png"), "expected a file of the tars", "(of DocReason/images/2.png in part_0000.tar the file"),
    (chat(image="links/lost.png"), "expected a file of the tars", "none called links/lost.png"),
    (chat(image="images/1.png"), "expected one file of the tars by that name", "2 of different bytes"),
    (chat(image="shared/differs.png"), "expected one file of the tars by that name", "part_0001.tar"),
    (chat(image="1.png", images=["lost.png"]), "expected one file of the tars by that name", "2 of different"),
    (
        chat(image="DocReason/images/1.png", images=["DocReason/images/2.png"]),
        "expected the same images under all keys",
        "others under image and images",
    ),
    (chat(image="AtomMath-sft/images/readme.txt"), "images: expected an image", "8 bytes"),
    (chat(image="AtomMath-sft/images/broken.png"), "images: expected an image", "40 bytes"),
    (chat(image={"path": "DocReason/images/1.png"}), "image: expected names of images", "{'path'"),
    (chat(), "expected a key that names images", "1 marks and none among conversations"),
    (chat("<image><image>?", image="DocReason/images/1.png"), "expected one <image> mark per image", "2 marks and 1"),
    (chat("A cut emoji \ud83d", id="cut"), "question: expected Unicode", "half of a surrogate pair"),
    (chat("?", "\udc00"), "answer: expected Unicode", "half of a surrogate pair"),
    (chat(image="\ud83d.png"), "expected a file of the tars", "none called \\ud83d.png"),
    (chat("?", " "), "conversations: expected texts in `value`", "an empty or other one"),
    ({"conversations": None}, "conversations: expected a human's turn and an answer", "[]"),
    (5, "expected an object", "int"),
]


def items() -> list[Any]:
    """Texts first, among them one whose image is missing; then the others, good and broken in turn."""
    texts: list[Any] = [chat(f"Text {number}", id=f"text-{number}", source="DocReason") for number in range(TEXTS)]
    texts[10] = BROKEN[0][0]
    good, broken = [item for item, _ in GOOD], [item for item, *_ in BROKEN[1:]]
    return [*texts, *good, *broken, *good]


def call(program: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, f"scripts/{program}.py", *map(str, words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set, as the client downloads it: `sft.json` with a byte-order mark, and two tars."""
    folder = tmp_path_factory.mktemp("mirror")
    with serving() as (url, hub):
        text = "\ufeff" + json.dumps(items(), indent=1)
        hub.files = {"sft.json": text.encode(), **TARS, "README.md": b"not asked for", "infos.json": b"{}"}
        hub.large = {"sft.json", *TARS}
        done = call(
            "download_hub", "--kind", "dataset", "--repository", "MMR1/MMR1-SFT", "--revision", COMMIT[:7],
            "--files", "*.json", "*.tar", "--out", folder / "hub", "--work", folder / "work",
            HF_ENDPOINT=url, HF_HOME=str(folder / "home"),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    return folder / "hub"


def prepare(mirror: Path, out: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return call(
        "prepare_mmr1_sft", "--sft", mirror, "--rows", len(items()), "--validation-size", 1, "--workers", 2,
        "--out", out / "sft.parquet", "--validation", out / "validation.parquet", "--rejects", out / "rejects.parquet",
        "--record", out / "records/prepare_mmr1_sft/data.json", *words,
    )  # fmt: skip


@pytest.fixture(scope="module")
def prepared(mirror: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared")
    done = prepare(mirror, out, "--max-dropped", len(BROKEN))
    assert done.returncode == 0, done.stderr
    return out


def numbers() -> dict[str, list[int]]:
    """Where the good and the broken items stand."""
    first = TEXTS + len(GOOD)
    after = first + len(BROKEN) - 1
    return {"good": [*range(TEXTS, first), *range(after, after + len(GOOD))], "broken": [10, *range(first, after)]}


def test_every_good_item_has_its_own_images(prepared: Path) -> None:
    read = [one for name in ("sft", "validation") for one in ConversationFile(prepared / f"{name}.parquet", None)]
    found = {problem.id: list(problem.images) for problem, _ in read}
    assert len(found) == len(items()) - len(BROKEN)
    for number, (item, colors) in zip(numbers()["good"], GOOD * 2, strict=True):
        assert found[f"sft-{number:07d}"] == [png(color) for color in colors], item


def test_every_broken_item_is_listed_with_its_reason(prepared: Path) -> None:
    rows = pq.read_table(prepared / "rejects.parquet").to_pylist()
    assert [row["item"] for row in rows] == numbers()["broken"]
    assert {Path(row["file"]).name for row in rows} == {"sft.json"}
    assert rows[0]["id"] == "sft-0000010"
    for row, (_, reason, detail) in zip(rows, BROKEN, strict=True):
        assert row["reason"] == reason
        assert detail in row["detail"]
    record = read_json(prepared / "records/prepare_mmr1_sft/data.json")
    assert record["metrics"]["dropped"] == len(BROKEN)
    assert record["notes"]["dropped_by_reason"]["expected a file of the tars"] == 4
    assert "rejects" in record["outputs"]


def test_too_many_fail_the_build_at_its_end(mirror: Path, tmp_path: Path, prepared: Path) -> None:
    done = prepare(mirror, tmp_path, "--max-dropped", len(BROKEN) - 1)
    assert done.returncode == 2
    assert f"conversations: {len(items())}/{len(items())}" in done.stderr, "it went through all of them"
    last = done.stderr.strip().splitlines()[-1]
    assert "sft.json: item 10: expected a file of the tars, found none called DocReason/images/lost.png" in last
    assert f"({len(BROKEN)} such rows, {len(BROKEN) - 1} may be left out; {tmp_path}/rejects.failed.parquet" in last
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == ["rejects.failed.parquet"]
    listed = (tmp_path / "rejects.failed.parquet").read_bytes()
    assert listed == (prepared / "rejects.parquet").read_bytes()
    assert prepare(mirror, tmp_path, "--max-dropped", len(BROKEN)).returncode == 0
    assert not (tmp_path / "rejects.failed.parquet").exists(), "what failed before is of no use any more"


def test_workers_and_a_kill_change_no_byte(mirror: Path, tmp_path: Path, prepared: Path) -> None:
    """A start that was killed leaves workers, files and folders to nobody; the next makes what it would have made."""
    words = ["--sft", mirror, "--rows", len(items()), "--validation-size", 1, "--max-dropped", len(BROKEN)]
    outputs = ["--out", tmp_path / "sft.parquet", "--validation", tmp_path / "validation.parquet"]
    program = [sys.executable, "scripts/prepare_mmr1_sft.py", *map(str, words + outputs), "--workers", "2"]
    with subprocess.Popen(program, cwd=ROOT, stderr=subprocess.DEVNULL) as killed:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(".sft.parquet.*/*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.01)
        children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
        killed.kill()
    for child in children:
        while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not Path(f"/proc/{child}").exists()
    done = call("prepare_mmr1_sft", *words, *outputs, "--workers", 1)
    assert done.returncode == 0, done.stderr
    for name in ("sft.parquet", "validation.parquet"):
        assert (tmp_path / name).read_bytes() == (prepared / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sft.parquet", "validation.parquet"]


def test_a_set_in_none_of_whose_items_images_are_found_says_so_at_its_end(mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "sft").mkdir()
    (tmp_path / "sft/part_0000.tar").write_bytes(TARS["part_0000.tar"])
    (tmp_path / "sft/sft.json").write_text(json.dumps([chat(image=f"lost/{number}.png") for number in range(5)]))
    done = prepare(tmp_path / "sft", tmp_path, "--rows", 5, "--max-dropped", 5)
    assert done.returncode == 2
    assert "nothing is left of out and validation" in done.stderr
    assert len(pq.read_table(tmp_path / "rejects.failed.parquet")) == 5


def test_a_path_is_the_file_with_the_longest_end_in_common(tmp_path: Path) -> None:
    files = {"a/x/1.png": b"1", "b/x/1.png": b"2", "x/1.png": b"3", "b/y/2.png": b"4", "3.png": b"5"}
    (tmp_path / "one.tar").write_bytes(tar(files))
    store = ImageStore(tmp_path)
    found = {"x/1.png": b"3", "b/x/1.png": b"2", "c/b/x/1.png": b"2", "c/x/1.png": b"3", "y/2.png": b"4", "2.png": b"4"}
    assert {name: store.read(name) for name in found} == found
    assert (store.read("./b//x/1.png"), store.read("anywhere/3.png")) == (b"2", b"5")
    for name in ("", "y/1.png", "z/2.png", "1.png.png", "png"):
        with pytest.raises(BrokenRow):
            store.read(name)
    store.close()
