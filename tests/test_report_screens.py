"""The report as a browser shows it: light, dark, on a phone and printed. Needs Chromium.

The pictures stay in pytest's temporary folder, by default as /tmp/pytest-of-$USER/pytest-current/screenshots/.
"""

import json
import re
import shutil
import subprocess
import zlib
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmr1.provenance.ledger import read_records
from mmr1.report.index import Index
from mmr1.report.page import build
from synthetic_results import SyntheticResults

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NAMED = ("vas", *(f"mix-{number}" for number in range(6)))
PHONE, DESK = 400, 1200

# What a browser knows of the page. It is asked in a copy, for the page itself has no script, and in a frame, for a
# browser's window cannot be as narrow as a phone.
ASK = """<script>addEventListener("load", () => {
  const wide = [...document.querySelectorAll("main *")].filter(one => !one.closest(".scroll, .panels, pre, svg")
    && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 80));
  parent.postMessage(JSON.stringify({width: innerWidth, scroll: document.documentElement.scrollWidth, wide,
    images: [...document.images].map(one => one.complete && one.naturalWidth > 0),
    drawn: [...document.querySelectorAll("main svg")].map(one => one.getBoundingClientRect().width)}), "*");
});</script>"""
FRAME = """<!doctype html><style>body {{ margin: 0 }} iframe {{ border: 0; display: block }}</style>
<pre id="said" hidden></pre>
<script>addEventListener("message", told => document.getElementById("said").textContent = told.data)</script>
<iframe src="{page}" style="width: {width}px; height: {height}px"></iframe>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here: apt-get install chromium")


@dataclass(frozen=True)
class Shots:
    """Where pictures go, and the browser's own folder."""

    folder: Path
    profile: Path

    def take(self, html: str, name: str, width: int, height: int, *words: str) -> tuple[np.ndarray, str]:
        """A picture of the top of a page, uint8 [height, width, 3], and its document afterwards."""
        page, frame, picture = self.profile / f"{name}.html", self.profile / "frame.html", self.folder / f"{name}.png"
        page.write_text(html.replace("</head>", f"{ASK}</head>"), encoding="utf-8")
        frame.write_text(FRAME.format(page=page.as_uri(), width=width, height=height), encoding="utf-8")
        window = [f"--window-size={width},{height}", "--virtual-time-budget=3000", *words, frame.as_uri()]
        document = self.browse(f"--screenshot={picture}", "--dump-dom", *window)
        with Image.open(picture) as image:
            return np.asarray(image.convert("RGB")), document

    def browse(self, *words: str) -> str:
        """Run the browser without a window, on a page."""
        quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"]
        command = [BROWSER or "", *quiet, f"--user-data-dir={self.profile / 'browser'}", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


def said(document: str) -> dict[str, Any]:
    """What the browser knows of the page."""
    found = re.search(r'<pre id="said"[^>]*>(.*?)</pre>', document, re.DOTALL)
    assert found is not None, document[-500:]
    answer: dict[str, Any] = json.loads(unescape(found.group(1)))
    return answer


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Shots:
    folder = tmp_path_factory.getbasetemp() / "screenshots"
    folder.mkdir(exist_ok=True)
    return Shots(folder, tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A report of two runs, and one of eight, each as HTML."""
    made = SyntheticResults(tmp_path_factory.mktemp("screens") / "results/digits", seeds=(0, 1))
    records = read_records(made.root)
    return {"two": build(made.index, records)[0], "eight": build(of_many_runs(made.index), records)[0]}


def of_many_runs(index: Index) -> Index:
    """The same with seven runs that did alike beside GRPO, of one seed and one round."""
    first = {one.run: one for one in index.trainings if one.seed == 0}
    short = {run: one.model_copy(update={"rounds": one.rounds[:1]}) for run, one in first.items()}
    others = [one for one in index.evaluations if one.subject != "vas" and not one.seed]
    (vas,) = (one for one in index.evaluations if (one.subject, one.seed) == ("vas", 0))
    return index.model_copy(
        update={
            "trainings": (short["grpo"], *(short["vas"].model_copy(update={"run": run}) for run in NAMED)),
            "evaluations": (*others, *(vas.model_copy(update={"subject": run}) for run in NAMED)),
        }
    )


def test_light(pages: dict[str, str], shots: Shots) -> None:
    picture, document = shots.take(pages["two"], "light", DESK, 3000, "--blink-settings=preferredColorScheme=1")
    assert np.median(picture) > 220
    seen = said(document)
    assert (seen["width"], seen["scroll"]) == (DESK, DESK)
    assert len(seen["images"]) > 4
    assert all(seen["images"])
    assert len(seen["drawn"]) > 10
    assert min(seen["drawn"]) > 100


def test_dark(pages: dict[str, str], shots: Shots) -> None:
    """The ground is dark and so are the figures' grounds; what is written stands out from it."""
    picture, _ = shots.take(pages["two"], "dark", DESK, 3000, "--blink-settings=preferredColorScheme=0")
    brightness = picture.mean(axis=2)
    assert np.median(brightness) < 40
    assert (brightness > 200).mean() > 0.005
    assert (brightness > 200).mean() < 0.1


@pytest.mark.parametrize("name", ["two", "eight"])
def test_on_a_phone_nothing_lies_beyond_the_edge(pages: dict[str, str], shots: Shots, name: str) -> None:
    _, document = shots.take(pages[name], f"narrow-{name}", PHONE, 6000)
    seen = said(document)
    assert seen["width"] == PHONE
    assert seen["wide"] == []
    assert seen["scroll"] == PHONE


def test_many_runs(pages: dict[str, str], shots: Shots) -> None:
    """Each has a panel of its own that bears its name, in place of a line in one plot."""
    picture, document = shots.take(pages["eight"], "many", DESK, 6000)
    assert said(document)["scroll"] == DESK
    assert picture.shape == (6000, DESK, 3)
    figure = re.search(r'<svg role="img" aria-label="Zero-variance groups:.*?</svg>', pages["eight"], re.DOTALL)
    assert figure is not None
    assert all(f">{run}</text>" in figure.group() for run in NAMED if run != "vas")


def test_printed_it_is_light_and_whole(pages: dict[str, str], shots: Shots) -> None:
    """Whoever prints from a dark screen prints dark ink on white paper."""
    page, path = shots.profile / "print.html", shots.folder / "print.pdf"
    page.write_text(pages["two"], encoding="utf-8")
    shots.browse(f"--print-to-pdf={path}", "--blink-settings=preferredColorScheme=0", page.as_uri())
    pdf = path.read_bytes()
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 20
    drawn = b"".join(map(inflated, re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)))
    colours = {tuple(map(float, found)) for found in re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) rg\b", drawn)}
    light, dark = (re.search(rf"{where}.*?--ink: #(\w+);.*?--ground: #(\w+);", pages["two"], re.DOTALL)
                   for where in (":root", "prefers-color-scheme: dark"))  # fmt: skip
    assert light is not None
    assert dark is not None
    assert near(light.group(1), colours)
    assert not near(dark.group(1), colours)
    assert not near(dark.group(2), colours)


def inflated(stream: bytes) -> bytes:
    """A stream of a PDF as it was before it was made smaller; nothing for another kind."""
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def near(colour: str, colours: set[tuple[float, ...]]) -> bool:
    """Whether a colour in hexadecimal digits is among some in [0, 1]."""
    wanted = [int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    return any(np.allclose(wanted, one, atol=0.003) for one in colours)
