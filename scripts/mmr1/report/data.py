"""What the report says of the data: the data card as a section of the page."""

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from mmr1.plumbing.files import read_json

TEMPLATE = Path(__file__).with_name("data.html")
MEANINGS = {
    "same": "text and images, or the text of one without",
    "images": "images alone",
    "text": "text alone",
}


def section(path: Path | None) -> Markup:
    """The section of a data card, as HTML; nothing where there is no card."""
    if path is None:
        return Markup("")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    template = environment.from_string(TEMPLATE.read_text())
    return Markup(template.render(card=read_json(path), spread=spread, mean_images=mean_images, meanings=MEANINGS))


def spread(values: dict[str, int] | None) -> str:
    """Median, 95th percentile and largest."""
    return "–" if values is None else f"{values['median']:,} / {values['p95']:,} / {values['largest']:,}"


def mean_images(one: dict[str, Any]) -> str:
    """How many images a row has on average."""
    total = sum(int(number) * count for number, count in one["by_images"].items())
    return f"{total / one['rows']:.2f}"
