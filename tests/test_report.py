"""The report: what it says equals what its files say, it needs no network, and it bears what is missing."""

import base64
import io
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from PIL import Image

from benchmark_fixtures import Call
from mmr1.benchmarks.intervals import bootstrap, wilson
from mmr1.data import contracts
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json, write_json, write_jsonl
from mmr1.plumbing.makers import Changed
from mmr1.provenance.ledger import ChangedInput, read_records
from mmr1.report import cost, pictures, results
from mmr1.report.accuracy import verdicts
from mmr1.report.breakdown import breakdowns
from mmr1.report.curves import Look, constant, curves, moving_mean
from mmr1.report.drawing import Palette
from mmr1.report.index import Evaluation, Index, read_index
from mmr1.report.page import build, duration
from mmr1.report.pictures import Sources
from mmr1.report.results import RoundScores, transition, vps_edges
from mmr1.report.samples import picture, samples
from synthetic_results import ITEMS, SyntheticResults

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SyntheticResults:
    """Two runs of two seeds and three rounds each. Read only."""
    return SyntheticResults(tmp_path_factory.mktemp("report") / "results/digits", rounds=3, seeds=(0, 1))


@pytest.fixture(scope="module")
def report(made: SyntheticResults) -> Path:
    """The report as its program makes it; its figures lie beside it."""
    index = made.root.parents[1] / "index.json"
    write_json(index, made.index.model_dump(mode="json"))
    done = make_report(index, made.root)
    assert done.returncode == 0, done.stderr
    return made.root / "report.html"


def make_report(index: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    words = ["--index", index, "--out", out / "report.html", "--figures", out / "figures"]
    words += ["--record", out / "records/make_report/all.json"]
    command = [sys.executable, ROOT / "scripts/make_report.py", *words]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=800)


class Page(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_everything_itself(report: Path) -> None:
    page = Page(report.read_text())
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe", "object", "embed", "base")]
    sources = [attributes["src"] or "" for _, attributes in page.tags if "src" in attributes]
    assert sources
    assert all(source.startswith("data:image/") for source in sources)
    links = [attributes["xlink:href"] or "" for _, attributes in page.tags if "xlink:href" in attributes]
    assert all(link.startswith("#") for link in links)
    assert all((attributes["href"] or "").startswith("#") for _, attributes in page.tags if "href" in attributes)
    assert not re.search(r"url\((?!#)|@import", report.read_text())


def test_every_picture_has_a_text_and_every_anchor_a_place(report: Path) -> None:
    page = Page(report.read_text())
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    drawn = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawn) > 10
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawn)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    places = {attributes.get("id") for _, attributes in page.tags}
    anchors = {(attributes["href"] or "")[1:] for _, attributes in page.tags if "href" in attributes}
    assert (
        {"answer", "payoff", "accuracy", "training", "vps", "calibration", "samples", "cost", "provenance"}
        == anchors
        <= places
    )


def test_the_figures_folder_holds_the_figures_of_the_page(made: SyntheticResults, report: Path) -> None:
    drawings = build(made.index, [one for one in read_records(made.root) if one.rule != "make_report"])[1]
    figures = {path.name: path.read_bytes() for path in (report.parent / "figures").iterdir()}
    assert set(figures) == {f"{name}.{ending}" for name in drawings for ending in ("svg", "png")}
    html = report.read_text()
    for name, drawing in drawings.items():
        assert figures[f"{name}.svg"] == drawing.svg.encode()
        assert drawing.inline(name, "").split(">", 1)[1] in html
        ElementTree.fromstring(drawing.svg)
        Image.open(io.BytesIO(figures[f"{name}.png"])).load()
    wanted = {"tiny-metrics-gradient_norm", "tiny-metrics-zero_variance_share", "tiny-validation-accuracy"}
    wanted |= {"tiny-vas-vps-round2", "tiny-vas-vps-transition1-2", "tiny-calibration-curve", "tiny-sft-loss"}
    wanted |= {f"tiny-metrics-reward_{name}" for name in ("mean", "accuracy")}
    wanted |= {"tiny-accuracy-rollouts", "tiny-validation-rollouts"}
    assert wanted <= set(drawings)
    assert "tiny-grpo-vps-round0" not in drawings  # uniform sampling has no scores


def test_the_same_files_make_the_same_page(made: SyntheticResults, report: Path) -> None:
    records = [record for record in read_records(made.root) if record.rule != "make_report"]
    assert build(made.index, records)[0] == report.read_text()


def test_the_headline_shows_the_scores(made: SyntheticResults, report: Path) -> None:
    text = " ".join(Page(report.read_text()).text.split())
    scores = read_json(made.root / "tiny/eval/sft/digits/scores.json")["scores"]
    sft, official = scores["reader"], 100 * scores["official"]["accuracy"]
    low, high = sft["ci95"]
    assert f"SFT {100 * sft['accuracy']:.1f} {100 * low:.1f} to {100 * high:.1f} official {official:.1f}" in text
    seeds = [read_json(made.root / f"tiny/eval/vas-seed{seed}/digits/scores.json") for seed in (0, 1)]
    mean = np.mean([one["scores"]["reader"]["accuracy"] for one in seeds])
    assert f"VAS, λ = 0.5 2 seeds {100 * mean:.1f}" in text


def test_accuracy_stands_by_kind_of_problem_too(made: SyntheticResults, report: Path) -> None:
    """One division of one benchmark: a row per task, a column per subject, the mean over its seeds."""
    (found,) = breakdowns(made.index, "tiny")
    assert (found.benchmark, found.name) == ("digits", "task")
    assert found.subjects == ("base", "sft", "grpo", "vas")
    of_seeds = [read_json(made.root / f"tiny/eval/vas-seed{seed}/digits/scores.json") for seed in (0, 1)]
    groups = [one["scores"]["reader"]["by"]["task"] for one in of_seeds]
    assert {group: (n, cells[-1]) for group, n, cells in found.rows} == {
        task: (groups[0][task]["n"], np.mean([one[task]["accuracy"] for one in groups])) for task in ("max", "sum")
    }
    assert "Digits by task" in Page(report.read_text()).text


def test_seeds_that_agree_are_no_more_certain_than_one(made: SyntheticResults, tmp_path: Path) -> None:
    once, twice = with_verdicts(made.index, tmp_path, seeds=1), with_verdicts(made.index, tmp_path, seeds=2)
    several = results.accuracy(twice, "tiny", "vas", "digits", "reader")
    assert several is not None
    assert several.seeds == 2
    assert several.mean == 0.5
    items = contracts.read(tmp_path / "items.parquet", ITEMS)
    low, high = bootstrap(items["reader"].to_pylist(), items["id"].to_pylist())
    assert (several.low, several.high) == (low, high)
    assert high - low > 0.25  # 40 items
    single = results.accuracy(once, "tiny", "vas", "digits", "reader")
    assert single is not None
    assert [single.low, single.high] == read_json(once.evaluations[-1].scores)["scores"]["reader"]["ci95"]


def with_verdicts(index: Index, folder: Path, seeds: int) -> Index:
    """An index whose seeds of vas all answer every second problem right."""
    last = index.evaluations[-1]
    ids = list(dict(verdicts(last.items, "reader"))) if last.items else []
    rows = [{"id": name, "official": True, "reader": i % 2 == 0, "extracted": ""} for i, name in enumerate(ids)]
    contracts.write(folder / "items.parquet", rows, ITEMS)
    score = {"correct": 20, "accuracy": 0.5, "ci95": [0.35, 0.65], "by": {}}
    write_json(folder / "scores.json", {"benchmark": "digits", "n": 40, "scores": {"reader": score}})
    changed = {"items": folder / "items.parquet", "scores": folder / "scores.json"}
    again = [last.model_copy(update=changed | {"seed": seed}) for seed in range(seeds)]
    return index.model_copy(update={"evaluations": (*index.evaluations[:2], *again)})


def test_samples_show_what_the_files_say(made: SyntheticResults) -> None:
    shown = samples(made.index, "tiny", "digits")
    assert [answer.subject for answer in shown[0].answers] == ["SFT", "GRPO (uniform)", "VAS, λ = 0.5"]
    for sample in shown:
        before, *after = [answer.right for answer in sample.answers]
        expected = {
            "wrong before, right after": not before and all(after),
            "right in some runs only": not before and any(after) and not all(after),
            "right before, wrong after": before and not all(after),
            "never right": not before and not any(after),
        }
        assert expected[sample.kind]
        for answer in sample.answers:
            assert (f"\\boxed{{{sample.gold}}}" in answer.text) == answer.right


def test_of_several_responses_one_is_shown_that_was_judged_as_the_majority(
    made: SyntheticResults, tmp_path: Path
) -> None:
    """Each subject's own response, two times right and two times wrong or the other way round, in turns."""
    evaluations = [
        one if one.subject == "base" else _of_five(one, made, tmp_path / str(number))
        for number, one in enumerate(made.index.evaluations)
    ]
    shown = samples(made.index.model_copy(update={"evaluations": tuple(evaluations)}), "tiny", "digits")
    answers = [(sample, answer) for sample in shown for answer in sample.answers]
    assert {answer.right for _, answer in answers} == {True, False}
    for sample, answer in answers:
        assert (answer.correct, answer.of) == (3 if answer.right else 2, 5)
        assert (f"\\boxed{{{sample.gold}}}" in answer.text) == answer.right


def _of_five(one: Evaluation, made: SyntheticResults, folder: Path) -> Evaluation:
    """The evaluation with five responses to each problem, of which three are as its one was."""
    assert one.items is not None
    golds = {problem.id: problem.answer for problem in made.problems}
    items = contracts.read(one.items, ITEMS).to_pylist()
    rights = [number % 2 == 1 for number in range(5)]  # of a problem that is wrong; the last is wrong
    rows, predictions = [], []
    for item in items:
        for number, other in enumerate(rights):
            right = other != item["reader"]
            rows.append(item | {"reader": right, "official": right})
            answer = golds[item["id"]] if right else "none"
            rollout = {"problem_id": item["id"], "rollout": number, "text": f"\\boxed{{{answer}}}"}
            predictions.append({**PREDICTION, **rollout})
    contracts.write(folder / "items.parquet", rows, ITEMS)
    contracts.write(folder / "predictions.parquet", predictions, contracts.ROLLOUTS)
    return one.model_copy(update={"items": folder / "items.parquet", "predictions": folder / "predictions.parquet"})


PREDICTION = {"seed": 0, "token_ids": [1], "finish_reason": "stop", "logprob": -0.1}


def test_jobs_that_used_changed_files_stand_at_the_top(made: SyntheticResults) -> None:
    records = read_records(made.root)
    assert 'id="changed"' not in build(made.index, records)[0]
    checkpoint = "results/digits/tiny/sft/checkpoint/model.safetensors"
    changed = {"path": checkpoint, "expected": "a" * 64, "found": "b" * 64, "record": "r.json", "problem": "in words"}
    records[5].changed_inputs = [ChangedInput(**changed)]
    text = Page(build(made.index, records, [Changed(**changed | {"path": "scores.json"})])[0]).text
    assert "this report: scores.json" in text
    assert f"{records[5].rule} {records[5].place}: {checkpoint}" in text


def test_what_a_model_says_is_shown_as_text(made: SyntheticResults, tmp_path: Path) -> None:
    sft = made.index.evaluations[1]
    rows = contracts.read(sft.predictions or "", contracts.ROLLOUTS).to_pylist()
    hostile = "</pre><script>alert(1)</script>{{ 7 * 7 }}"
    contracts.write(tmp_path / "p.parquet", [row | {"text": hostile} for row in rows], contracts.ROLLOUTS)
    changed = sft.model_copy(update={"predictions": tmp_path / "p.parquet"})
    evaluations = (made.index.evaluations[0], changed, *made.index.evaluations[2:])
    names = {name: f"{name} $\\frac$ {hostile}" for name in ("tiny", "vas", "digits")}  # no mathematics either
    more = {"title": hostile, "labels": names, "trainings": made.index.trainings[-1:]}
    index = made.index.model_copy(update={"evaluations": evaluations, **more})
    html, _ = build(index, read_records(made.root))
    assert hostile in Page(html).text
    assert f"vas $\\frac$ {hostile}" in Page(html).text
    assert "<script" not in html


def test_wide_images_are_made_smaller_and_tiny_ones_are_marked(made: SyntheticResults) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (3000, 1000), "red").save(buffer, format="PNG")
    wide = picture(buffer.getvalue())
    with Image.open(io.BytesIO(base64.b64decode(wide.uri.split(",")[1]))) as image:
        assert image.size == (720, 240)
    digit = picture(made.problems[0].images[0])
    assert digit.small
    assert base64.b64decode(digit.uri.split(",")[1]) == made.problems[0].images[0]


def test_tables_of_other_jobs_are_shown(made: SyntheticResults, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<table><tr><td>fragment</td></tr></table>")
    (tmp_path / "b.html").write_text("<html><head><title>no</title></head><body><p>page</p></body></html>")
    index = made.index.model_copy(update={"tables": (tmp_path / "a.html", tmp_path / "b.html"), "trainings": ()})
    html, _ = build(index, read_records(made.root))
    assert "<table><tr><td>fragment</td></tr></table>" in html
    assert "<p>page</p>" in html
    assert "<title>no</title>" not in html


def test_what_is_optional_may_be_missing(made: SyntheticResults) -> None:
    bare = [one.model_copy(update={"items": None, "predictions": None}) for one in made.index.evaluations]
    rounds = [
        one.model_copy(update={"timings": None, "validation": None, "calibration": None, "scores": None})
        for one in made.index.trainings[0].rounds
    ]
    training = made.index.trainings[0].model_copy(update={"rounds": tuple(rounds)})
    index = made.index.model_copy(update={"evaluations": tuple(bare), "trainings": (training,), "sft": ()})
    html, figures = build(index, read_records(made.root))
    assert "tiny-metrics-kl" in figures
    assert not any("vps" in name or "calibration" in name or "validation" in name for name in figures)
    assert 'id="samples"' not in html
    several = results.accuracy(index, "tiny", "vas", "digits", "reader")
    assert several is not None
    assert several.low is None


def test_a_missing_file_is_one_line_and_leaves_no_report(made: SyntheticResults, tmp_path: Path) -> None:
    index = made.index.model_dump(mode="json") | {"sft": [{"model": "tiny", "metrics": "nowhere.jsonl"}]}
    write_json(tmp_path / "index.json", index)
    done = make_report(tmp_path / "index.json", tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "make_report.py: error: nowhere.jsonl: no such file or folder (--files)"
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"recipe": None}, "recipe: Input should be a valid string"), ({"evaluation": []}, "evaluation: no such setting")],
)
def test_a_wrong_index_names_file_and_field(
    made: SyntheticResults, tmp_path: Path, change: dict[str, object], expected: str
) -> None:
    write_json(tmp_path / "index.json", made.index.model_dump(mode="json") | change)
    with pytest.raises(UserError, match=f"index.json: {expected}"):
        read_index(tmp_path / "index.json")


def test_broken_files_are_named(made: SyntheticResults, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "metrics.jsonl", [{"step": 0, "kl": 1.0}, {"kl": 1.0}])
    with pytest.raises(UserError, match=r"metrics\.jsonl: line 2: step: expected an integer, found None"):
        results.jsonl(tmp_path / "metrics.jsonl")
    write_json(tmp_path / "scores.json", {"benchmark": "digits", "n": 1, "scores": {"official": {}}})
    broken = made.index.evaluations[1].model_copy(update={"scores": tmp_path / "scores.json"})
    index = made.index.model_copy(update={"evaluations": (broken,)})
    with pytest.raises(UserError, match=r"scores\.json: scores: expected reader, found official"):
        results.accuracy(index, "tiny", "sft", "digits", "reader")


def test_a_damaged_record_is_one_line_with_the_command_that_mends_it(
    made: SyntheticResults, tmp_path: Path, call: Call
) -> None:
    """The report shows every job, so that it is not made where one cannot be read."""
    results_folder = tmp_path / "results"
    shutil.copytree(made.index.results, results_folder)
    record = next((results_folder / "records").rglob("*.json"))
    record.write_bytes(record.read_bytes().replace(b"1", b"2", 1))
    index = made.index.model_copy(update={"results": results_folder})
    write_json(tmp_path / "index.json", index.model_dump(mode="json"))
    made_again = f"make it again: snakemake --profile workflow/profiles/local --forcerun {record} -- {record}"
    with pytest.raises(UserError, match=rf"^{record}: .*; {made_again}$"):
        call(
            "make_report", "--index", tmp_path / "index.json", "--out", tmp_path / "r.html", "--figures", tmp_path / "f"
        )
    assert not (tmp_path / "r.html").exists()


def test_an_index_survives_its_file(made: SyntheticResults, tmp_path: Path) -> None:
    write_json(tmp_path / "index.json", made.index.model_dump(mode="json"))
    assert read_index(tmp_path / "index.json") == made.index
    files = made.index.files()
    assert made.root / "tiny/vas/seed1/round2/calibration.jsonl" in files
    assert made.root / f"data/benchmarks/{'digits'}.parquet" in files
    assert all(path.is_file() for path in files)


def test_curves_run_over_rounds_and_leave_out_nulls(made: SyntheticResults) -> None:
    curve = results.series(made.index, "tiny", "metrics", "gradient_norm")
    assert [(one.run, one.seed) for one in curve] == [("grpo", 0), ("grpo", 1), ("vas", 0), ("vas", 1)]
    assert curve[0].steps.tolist() == list(range(18))
    assert curve[0].round_starts == (0, 6, 12)
    assert {one.run for one in results.series(made.index, "tiny", "calibration", "ovs_correlation")} == {"vas"}


def test_validation_has_curves_by_kind_of_problem_whatever_the_kinds_are_called(made: SyntheticResults) -> None:
    ((division, drawn),) = pictures.validation_by_kind(Sources(made.index, []), "tiny")
    assert division == "task"
    assert [one.name for one in drawn] == ["tiny-validation-by-0-0", "tiny-validation-by-0-1"]
    assert (drawn[0].text, drawn[0].title) == ("20% at every step of every run: nothing to draw.", "task: sum")
    curve = results.series(made.index, "tiny", "validation", "by.task.a/b <max>")
    assert curve[0].values.tolist() == pytest.approx([0.7, 0.73, 0.76, 0.79, 0.82, 0.85])
    assert curve[0].problems is None, "their number is not written down"


vps_values = st.lists(st.floats(0, 0.5), min_size=1, max_size=60)


@settings(deadline=None)
@given(vps_values, st.data())
def test_transitions_count_every_problem_once(before: list[float], data: st.DataObject) -> None:
    after = data.draw(st.lists(st.floats(0, 0.5), min_size=len(before), max_size=len(before)))
    names = [f"p{i}" for i in range(len(before))]
    first, second = RoundScores(0, names, np.array(before)), RoundScores(1, names[::-1], np.array(after[::-1]))
    edges = vps_edges([first, second])
    expected = np.zeros((10, 10), int)
    for old, new in zip(before, after, strict=True):
        row, column = (min(9, sum(value >= edge for edge in edges[1:])) for value in (old, new))
        expected[row, column] += 1
    np.testing.assert_array_equal(transition(first, second, edges), expected)
    counts, _ = np.histogram(before, edges)
    np.testing.assert_array_equal(expected.sum(axis=1), counts)


@settings(deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), st.integers(0, 9))
def test_a_moving_mean_is_the_mean_of_the_neighbours_there_are(values: list[float], half: int) -> None:
    half = min(half, (len(values) - 1) // 2)
    expected = [np.mean(values[max(0, i - half) : i + half + 1]) for i in range(len(values))]
    np.testing.assert_allclose(moving_mean(np.array(values), 2 * half + 1), expected, atol=1e-9)


def test_seeds_may_lack_steps_of_each_other() -> None:
    seeds = [
        results.Series("vas", seed, np.array(steps), np.array(steps, float), (0,))
        for seed, steps in enumerate(([0, 1], [2, 3]))
    ]
    both, first = (curves(shown, Palette(["vas"]), {"vas": "VAS"}, Look("Loss")) for shown in (seeds, seeds[:1]))
    assert both.svg != first.svg
    Image.open(io.BytesIO(both.png())).load()


def test_runs_keep_their_colours_and_differ() -> None:
    runs = [f"run{i}" for i in range(20)]
    palette = Palette(runs)
    styles = {(palette.colour(run), palette.dash(run)) for run in runs}
    assert len(styles) == 20
    assert palette.colour("sft") not in {palette.colour(run) for run in runs}


def test_costs_are_the_sums_of_the_records(made: SyntheticResults) -> None:
    records = [record for record in read_records(made.root) if record.rule != "make_report"]
    stages = {stage.rule: stage for stage in cost.by_stage(records)}
    assert stages["train_grpo"].jobs == 12
    assert stages["train_grpo"].seconds == 12 * 30
    assert stages["train_grpo"].cpu_hours == pytest.approx(12 * 30 * 1.8 / 3600)
    assert stages["train_grpo"].gpu_hours is None
    assert cost.total(stages.values()).seconds == sum(record.execution.seconds for record in records)
    passes = {one.run: one for one in cost.vps_passes(records)}
    # Three rounds of 8 s of rollouts (the first shared) and 1 s of scores, beside three times 30 s of training.
    assert passes["tiny/vas/seed0"].share == pytest.approx(3 * 9 / 90)
    assert passes["tiny/grpo/seed0"].share == 0


def test_gpu_hours_count_every_gpu_that_a_job_saw(made: SyntheticResults) -> None:
    records = [record for record in read_records(made.root) if record.rule == "train_grpo"]
    records[0].execution.gpu = [{"name": "a", "utilization": 90.0}] * 2
    records[1].execution.gpu = [{"name": "a", "utilization": 30.0}] * 2
    records[1].execution.nodes = 2
    (stage,) = cost.by_stage(records)
    assert stage.gpu_hours == pytest.approx((2 + 2 * 2) * 30 / 3600)
    assert stage.gpu_utilization == pytest.approx((2 * 90 + 4 * 30) / 6)
    html, _ = build(made.index.model_copy(update={"trainings": ()}), records)
    assert all(text in html for text in ("GPU hours", "GPU use", "50 %"))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "0.2 s"), (59.9, "59.9 s"), (200, "3 min 20 s"), (18_120, "5 h 02 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def series(run: str, values: list[float], starts: tuple[int, ...] = (0,), **more: int) -> results.Series:
    return results.Series(run, 0, np.arange(len(values)), np.array(values), starts, **more)


def test_a_curve_that_never_changes_is_said_in_words(made: SyntheticResults, report: Path) -> None:
    assert constant([series("a", [0.0, 0.0]), series("b", [0.0])]) == 0
    assert constant([series("a", [0.0, 0.0]), series("b", [1.0])]) is None
    assert constant([]) is None
    text = " ".join(Page(report.read_text()).text.split())
    assert "0.97 at every step of every run: nothing to draw." in text
    assert not (report.parent / "figures/tiny-metrics-reward_format.svg").exists()


def test_up_to_five_runs_share_a_plot_and_more_have_panels() -> None:
    runs = [f"run-{number}" for number in range(17)]
    labels = {run: f"{run} <i>$\\alpha$" for run in runs}
    drawn = {
        number: curves([series(run, [0, 1, place]) for place, run in enumerate(runs[:number])], Palette(runs), labels,
                       Look("Loss", "nats"), "run-0")
        for number in (5, 6, 17)
    }  # fmt: skip
    assert [drawing.wide for drawing in drawn.values()] == [False, True, True]
    for number, drawing in drawn.items():
        texts = [
            "".join(one.itertext()) for one in ElementTree.fromstring(drawing.svg).iter() if one.tag.endswith("text")
        ]
        assert [text for text in texts if text.startswith("run-")] == [labels[run] for run in runs[:number]]
        assert "nats" in texts
        assert "step" in texts
    assert "(dashed: run-0 <i>$\\alpha$)" in unescape(drawn[17].svg)


def test_rounds_begin_between_steps_and_their_lines_are_no_grid() -> None:
    axes = axes_of([series("a", [0, 1, 2, 3], (0, 2))], Look("Loss"))
    (line,) = (one for one in axes.lines if one.get_linestyle() != "-")
    assert set(line.get_xdata()) == {1.5}
    assert not any(grid.get_visible() for grid in axes.get_xgridlines())
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_validation_has_intervals_over_problems() -> None:
    axes = axes_of([series("a", [0.5, 0.75], problems=40)], Look("Validation accuracy", percent=True, smooth=False))
    (bars,) = axes.collections
    (_, low), (_, high) = bars.get_segments()[1]
    assert (low, high) == pytest.approx(wilson(30, 40))


def test_what_holds_for_a_round_is_drawn_as_steps() -> None:
    axes = axes_of([series("a", [1, 1, 2, 2])], Look("Effective sample size", smooth=False, stepped=True))
    assert axes.lines[0].get_drawstyle() == "steps-post"


def axes_of(shown: list[results.Series], look: Look) -> Axes:
    return curves(shown, Palette(["a"]), {"a": "a"}, look).figure.axes[0]


def test_each_size_of_model_has_its_cost(made: SyntheticResults) -> None:
    records = read_records(made.root)
    other = made.index.evaluations[0].model_copy(update={"model": "7b"})
    index = made.index.model_copy(update={"evaluations": (*made.index.evaluations, other), "trainings": (), "sft": ()})
    html, _ = build(index, records)
    table = html[html.index('id="cost"') : html.index('id="provenance"')]
    assert table.index("shared by all models") < table.index("prepare_data") < table.index("Tiny Qwen2.5-VL")
    assert table.index("Tiny Qwen2.5-VL") < table.index("train_grpo")
