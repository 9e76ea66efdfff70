"""Pictures that people bring: each becomes what a viewer shows, or is refused by file, row and field before its pixels
are decoded."""

import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image, ImageFile, ImageOps

from benchmark_fixtures import Call, json_lines, png
from mmr1.data import images
from mmr1.data.conversations import ConversationFile, write_conversations
from mmr1.data.images import BrokenImage, open_image, shown_everywhere
from mmr1.data.problems import Problem, read_problems, write_problems
from mmr1.data.prompts import PromptEncoder
from mmr1.data.sources import digits
from mmr1.models.checkpoints import load_processor
from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import read_json

RED, WHITE, CLEAR = (255, 0, 0), (255, 255, 255), (0, 0, 0, 0)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def levels(data: bytes) -> np.ndarray:
    return np.asarray(open_image(data))[..., 0]


# --- what is converted


def corner() -> Image.Image:
    """A red square in the corner of what is transparent, and black underneath."""
    image = Image.new("RGBA", (8, 8), CLEAR)
    image.paste((*RED, 255), (0, 0, 4, 4))
    return image


TRANSPARENT: dict[str, Callable[[], bytes]] = {
    "colours with an alpha channel": lambda: encoded(corner()),
    "grey with an alpha channel": lambda: encoded(corner().convert("LA")),
    "a palette with an alpha value each": lambda: encoded(corner().quantize(8)),
    "a palette with an alpha channel": lambda: encoded(corner().convert("PA"), "TIFF"),
    "a GIF": lambda: encoded(corner(), "GIF"),
    "a WebP": lambda: encoded(corner(), "WEBP", lossless=True),
    "a colour that stands for transparent": lambda: encoded(corner().convert("RGB"), transparency=(0, 0, 0)),
    "a grey that stands for transparent": lambda: encoded(corner().convert("L"), transparency=0),
    "a grey of 16 bits that stands for transparent": lambda: encoded(
        Image.fromarray(np.asarray(corner().convert("L"), dtype=np.uint16) * 257), transparency=0
    ),
}


@pytest.mark.parametrize("name", TRANSPARENT)
def test_what_is_transparent_is_white(name: str) -> None:
    image = open_image(TRANSPARENT[name]())
    shown = RED if image.getpixel((0, 0)) == RED else (76, 76, 76)  # red, or its grey
    assert (image.mode, image.getpixel((0, 0)), image.getpixel((7, 7))) == ("RGB", shown, WHITE)


def test_half_transparent_is_mixed_with_white() -> None:
    assert open_image(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))).getpixel((0, 0)) == (127, 127, 127)


PLAIN: dict[str, Callable[[np.ndarray], bytes]] = {
    "RGB": lambda pixels: encoded(Image.fromarray(pixels)),
    "JPEG": lambda pixels: encoded(Image.fromarray(pixels), "JPEG"),
    "CMYK": lambda pixels: encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG"),
    "grey": lambda pixels: encoded(Image.fromarray(pixels).convert("L")),
    "black and white": lambda pixels: encoded(Image.fromarray(pixels).convert("1")),
    "palette": lambda pixels: encoded(Image.fromarray(pixels).quantize(16)),
    "BMP": lambda pixels: encoded(Image.fromarray(pixels), "BMP"),
    "opaque RGBA": lambda pixels: encoded(Image.fromarray(pixels).convert("RGBA")),
}


@pytest.mark.parametrize("name", PLAIN)
def test_an_ordinary_picture_is_what_pillow_makes_of_it(name: str) -> None:
    data = PLAIN[name](np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8))
    assert open_image(data).tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def test_the_pixels_of_digits_are_what_they_were() -> None:
    for digit in digits.load(held_out=True)[:50]:
        assert open_image(digit.png).tobytes() == Image.open(io.BytesIO(digit.png)).convert("RGB").tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    pixels = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(pixels), kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    assert open_image(data).size == upright.size
    assert open_image(data).tobytes() == upright.tobytes()


def test_exif_that_cannot_be_read_turns_nothing() -> None:
    data = encoded(Image.new("RGB", (4, 6), RED), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert open_image(data).size == (4, 6)


RAMP = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
DEEP: dict[str, Callable[[], bytes]] = {
    "a PNG of 16 bits": lambda: encoded(Image.fromarray(RAMP)),
    "a TIFF of 16 bits": lambda: encoded(Image.fromarray(RAMP), "TIFF"),
    "a TIFF of 16 bits, the other way round": lambda: encoded(Image.fromarray(RAMP.astype(">u2")), "TIFF"),
    "a PGM of 16 bits": lambda: b"P5 8 8 65535\n" + RAMP.astype(">u2").tobytes(),
    "whole numbers of 32 bits, some negative": lambda: encoded(Image.fromarray(RAMP.astype(np.int32) - 9), "TIFF"),
    "floats from 0 to 1": lambda: encoded(Image.fromarray((RAMP / 65535).astype(np.float32)), "TIFF"),
    "floats of another range": lambda: encoded(Image.fromarray(RAMP.astype(np.float32) * 3 - 7), "TIFF"),
}


@pytest.mark.parametrize("name", DEEP)
def test_more_than_8_bits_are_scaled(name: str) -> None:
    """White was what all above 255 became."""
    found = levels(DEEP[name]()).astype(int)
    assert np.abs(found - RAMP / 257).max() <= 1
    assert (found.min(), found.max()) == (0, 255)


def test_floats_from_0_to_1_are_not_stretched_and_what_is_no_number_is_black() -> None:
    values = np.array([[0.25, 0.5], [np.nan, 0.75]], dtype=np.float32)
    assert levels(encoded(Image.fromarray(values), "TIFF")).tolist() == [[64, 128], [0, 191]]
    assert levels(encoded(Image.fromarray(values * np.nan), "TIFF")).tolist() == [[0, 0], [0, 0]]
    assert levels(encoded(Image.fromarray(np.full((2, 2), 7e9, np.float32)), "TIFF")).max() == 0


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_the_first_frame_is_the_picture(kind: str) -> None:
    more = {"save_all": True, "append_images": [Image.new("RGB", (4, 4), (0, 0, 255))]}
    if kind == "WEBP":
        more["lossless"] = True
    assert open_image(encoded(Image.new("RGB", (4, 4), RED), kind, **more)).getpixel((0, 0)) == RED


def test_what_others_would_show_differently_is_handed_on_as_a_png() -> None:
    """Reports are read in browsers, and endpoints decode by themselves."""
    for name in ("RGB", "JPEG", "grey", "palette"):
        data = PLAIN[name](np.zeros((4, 4, 3), dtype=np.uint8))
        assert shown_everywhere(data)[0] is data
    turned = Image.Exif()
    turned[images.ORIENTATION] = 6
    odd = [make() for make in (*TRANSPARENT.values(), *DEEP.values())]
    odd += [encoded(Image.new("RGB", (2, 3)), "JPEG", exif=turned), PLAIN["BMP"](np.zeros((4, 4, 3), np.uint8))]
    for data in odd:
        made, media = shown_everywhere(data)
        assert media == "image/png"
        assert Image.open(io.BytesIO(made)).convert("RGB").tobytes() == open_image(data).tobytes()


# --- what is refused


def bomb() -> bytes:
    """A PNG of 12,000 × 12,000 in 140 kB."""
    width = 12_000
    rows = zlib.compressobj(9)
    row = b"\0" + bytes(width // 8)
    packed = b"".join(rows.compress(row) for _ in range(width)) + rows.flush()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    header = width.to_bytes(4) * 2 + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "more pixels than fit in memory": (bomb, r"at most 67108864 pixels, found 12000 × 12000"),
    "PostScript": (lambda: EPS, r"found \d+ bytes that do not decode \(in none of the formats PNG, .*\)"),
    "SVG": (lambda: b"<svg/>", r"found 6 bytes that do not decode \(in none of"),
    "a page of HTML": (lambda: b"<!DOCTYPE html><title>404</title>", r"that do not decode \(in none of"),
    "nothing": (lambda: b"", r"found 0 bytes that do not decode"),
    "half a picture": (lambda: png(64)[:-40], r"bytes that do not decode \(\w+: .*\)"),
    "a line of pixels": (
        lambda: encoded(Image.new("L", (201, 1))),
        r"one side at most 200 times the other, .* 201 × 1",
    ),
    "a GIF without pixels": (lambda: b"GIF89a" + bytes(7) + b";", r"expected an image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_model_can_be_shown_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(BrokenImage, match=message) as caught:
        open_image(make())
    assert " object at 0x" not in str(caught.value)


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Image.Image] = []
    monkeypatch.setattr(Image.Image, "load", decoded.append)
    monkeypatch.setattr(ImageFile.ImageFile, "load", decoded.append)
    with pytest.raises(BrokenImage):
        open_image(bomb())
    assert decoded == []


def test_an_eps_starts_no_ghostscript(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given: started.append(given))
    with pytest.raises(BrokenImage):
        open_image(EPS)
    assert started == []


@given(st.data())
def test_flipped_bytes_give_a_picture_or_the_reason(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"]))
    exif = Image.Exif()
    exif[images.ORIENTATION] = 6
    content = bytearray(encoded(corner().convert("RGB"), kind, **({"exif": exif} if kind != "GIF" else {})))
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    try:
        image = open_image(bytes(content))
    except BrokenImage:
        return
    assert image.mode == "RGB"
    assert image.width * image.height <= images.MAX_PIXELS


# --- what passes is what a processor takes


@given(st.integers(1, 6000), st.integers(1, 6000))
def test_a_size_that_passes_has_a_number_of_tokens_within_the_bound(width: int, height: int) -> None:
    if max(width, height) > images.MAX_ASPECT * min(width, height):
        return
    assert ENCODER.family.count_visual_tokens(ENCODER.processor, height, width, ENCODER.images_kwargs) >= 1
    for encoder in (ENCODER, NARROW):
        kwargs = encoder.images_kwargs
        counted = encoder.family.count_visual_tokens(encoder.processor, height, width, kwargs)
        assert counted <= encoder.most_visual_tokens


@pytest.fixture(scope="module", autouse=True)
def encoders(tiny_model_dir: Path) -> None:
    global ENCODER, NARROW
    processor = load_processor(tiny_model_dir)
    ENCODER, NARROW = PromptEncoder(processor), PromptEncoder(processor, min_pixels=5000, max_pixels=5500)


ENCODER: PromptEncoder
NARROW: PromptEncoder


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (3, 600), (2, 3)])
def test_the_extremes_that_pass_are_encoded(size: tuple[int, int]) -> None:
    problem = Problem("a", "s", "<image>?", (encoded(Image.new("L", size)),), "1")
    assert ENCODER.length(problem) == len(ENCODER.encode(problem).input_ids)
    with pytest.raises(ValueError, match="aspect ratio"):  # what the processor says of the first that does not pass
        ENCODER.processor(text=["<|image_pad|>"], images=[Image.new("RGB", (201, 1))])


# --- where they come in

BROKEN = {
    "images[0]: expected an image of at most 67108864 pixels, found 12000 × 12000": bomb,
    "images[0]: expected an image with one side at most 200 times the other, found 1 × 300": lambda: encoded(
        Image.new("L", (1, 300))
    ),
    f"images[0]: expected an image, found {len(EPS)} bytes that do not decode (in none of": lambda: EPS,
}


def test_own_files_leave_broken_pictures_out_and_say_which(call: Call, tmp_path: Path) -> None:
    rows = [{"question": "<image>?", "answer": "1", "images": ["good.png"]}]
    (tmp_path / "good.png").write_bytes(png(28))
    for number, make in enumerate(BROKEN.values()):
        (tmp_path / f"{number}.png").write_bytes(make())
        rows.append(rows[0] | {"images": [f"{number}.png"]})
    path = json_lines(tmp_path / "rows.jsonl", rows)
    source = f"{{name: files, problems: {path}, max_dropped: 3}}"
    out, record = tmp_path / "problems.parquet", tmp_path / "records" / "prepare_data" / "data.json"
    call("prepare_data", "--source", source, "--problems", out, "--record", record)
    assert [one.id for one in read_problems(out)] == ["rows-00000"]
    noted = read_json(record)["notes"]["left_out"]["problems"]["dropped"]
    for line, (number, reason) in zip(noted, enumerate(BROKEN, 1), strict=True):
        assert line["row"] == number
        assert line["reason"].startswith(reason)


@pytest.mark.parametrize("reason", BROKEN)
def test_a_table_made_elsewhere_is_one_line_with_file_and_row(
    call: Call, tmp_path: Path, tiny_model_dir: Path, digit_problems: list[Problem], reason: str
) -> None:
    broken = replace(digit_problems[1], question="<image>?", images=(BROKEN[reason](),))
    path = tmp_path / "problems.parquet"
    write_problems(path, [digit_problems[0], broken])
    words = ["--model", tiny_model_dir, "--n", "1", "--temperature", "0", "--max-tokens", "4", "--seed", "0"]
    with pytest.raises(UserError) as caught:
        call("generate", "--problems", path, "--out", tmp_path / "r.parquet", *words)
    assert str(caught.value).startswith(f"{path}: row 1: {reason}")
    write_conversations(path, [(digit_problems[0], "1"), (broken, "1")])
    with pytest.raises(UserError) as caught:
        ConversationFile(path)
    assert str(caught.value).startswith(f"{path}: row 1: {reason}")
