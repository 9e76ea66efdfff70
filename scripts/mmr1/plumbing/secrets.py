"""Keys, tokens and passwords: blotted out of what is said and written about a job, in whatever form they stand there.

A secret is known by the name of its environment variable (ENDPOINT_API_KEY, HF_TOKEN, MLFLOW_TRACKING_PASSWORD, …) or
by its place in a URL. It belongs into the environment: a URL with one is refused, for URLs are recorded. Standard
library only.
"""

import base64
import html
import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from mmr1.plumbing.errors import UserError

BLOT = "…"
VARIABLE = re.compile(r"(?:^|_)(?:API_?KEY|ACCESS_KEY|SECRET_KEY|TOKEN|PASSWORD|PASSWD|SECRET)$", re.IGNORECASE)
SHORTEST = 8  # a shorter value of such a variable may be a word that stands anywhere

USER = re.compile(r"(?<=://)[^/\s\"'<>?#]*@")
PARAMETER = re.compile(
    r"(?<=[?&;])((?:[\w.-]*[_.-])?(?:api_?key|key|token|password|passwd|pwd|secret|signature|sig|auth|credential)=)"
    r"[^&;#\s\"'<>]*",
    re.IGNORECASE,
)


def blotted(text: str, known: Iterable[str] = ()) -> str:
    """A text without secrets: those of the environment, the `known` ones, and those that stand in URLs."""
    for secret in {*known, *_of_environment()} - {""}:
        text = _forms(secret).sub(BLOT, text)
    return PARAMETER.sub(rf"\1{BLOT}", USER.sub(f"{BLOT}@", text))


def blotted_values(value: Any) -> Any:
    """A JSON value with every text in it `blotted`."""
    if isinstance(value, str):
        return blotted(value)
    if isinstance(value, Mapping):
        return {name: blotted_values(one) for name, one in value.items()}
    return [blotted_values(one) for one in value] if isinstance(value, list | tuple) else value


def has_secret(url: str) -> bool:
    """Whether a URL has a user name, a password or a key in it."""
    return USER.search(url) is not None or PARAMETER.search(url) is not None


def check_url(option: str, url: str, where: str) -> None:
    """Raises UserError, without the URL, for one that has a secret in it; `where` says where the secret belongs."""
    if has_secret(url):
        raise UserError(
            f"{option}: found a user name, password or key in it; give it in {where}, for URLs are recorded"
        )


def _of_environment() -> set[str]:
    values = {value.strip() for name, value in os.environ.items() if VARIABLE.search(name)}
    return {value for value in values if len(value) >= SHORTEST}


@cache
def _forms(secret: str) -> re.Pattern[str]:
    """What a secret looks like: as it is, escaped as in JSON, URLs, HTML or Python, as base64 or in hexadecimal."""
    data = secret.encode(errors="replace")
    forms = ["".join(map(_character, secret)), f"(?i:{data.hex()})"]
    forms += ["".join(map(_character, part)) for part in _base64(data) if len(part) >= SHORTEST]
    return re.compile("|".join(forms))


def _character(character: str) -> str:
    """A pattern for one character, escaped or not, several times where that is usual."""
    number, name = ord(character), html.escape(character)[1:-1]
    ways = [rf"\\*{re.escape(character)}", rf"\\+(?i:u{number:04x}|x{number:02x})"]
    ways.append(f"&(?i:amp;)*(?i:#x0*{number:x}|#0*{number:d}{f'|{name}' if name else ''});")
    ways.append("(?i:" + "".join(f"%(?:25)*{byte:02x}" for byte in character.encode(errors="replace")) + ")")
    if character == " ":
        ways.append(r"\+")
    return f"(?:{'|'.join(ways)})"


def _base64(data: bytes) -> Iterable[str]:
    """What of base64 depends on the data alone, wherever it stands in what was encoded; both alphabets."""
    for before in range(3):
        first, last = -(-before * 8 // 6), (before + len(data)) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(bytes(before) + data).decode()[first:last]
