"""Images: encoded bytes become RGB as a viewer shows them; what no model can be shown is refused with the reason."""

import io
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

# Formats of pixels only: Pillow would start Ghostscript for an EPS.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
# Of these all viewers and endpoints show the same, where the mode is plain.
EVERYWHERE = ("PNG", "JPEG", "WEBP", "GIF")
PLAIN = ("1", "L", "P", "RGB")

MAX_PIXELS = 1 << 26  # 8192 × 8192; decoding takes up to 12 bytes a pixel, whatever the file's own size is
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # Pillow's own bound is a higher one
MAX_ASPECT = 200  # the image processors of Qwen2.5-VL and Qwen3-VL refuse a side of more than 200 times the other

ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = {UPRIGHT[tag] for tag in (5, 6, 7, 8)}  # their sides change places


class BrokenImage(ValueError):
    """Bytes that make no image which a model can be shown; the message says what was expected and found."""


def open_image(data: bytes) -> Image.Image:
    """Decode an image's bytes to RGB, uint8, [height, width, 3].

    The first frame is taken, turned upright as its EXIF says. What is transparent shows white, as in Qwen's and vLLM's
    own readers. More than 8 bits a channel are scaled to 8: 16-bit levels and floats in [0, 1] by their range, other
    ranges from their least to their largest value.

    Raises BrokenImage for bytes in none of `FORMATS`, damaged ones, an image without pixels, with more than
    `MAX_PIXELS` (before it is decoded), or with one side more than `MAX_ASPECT` times the other.
    """
    try:
        with _identified(data) as image:
            image.load()
            shown, turn = _rgb(image), _turn(image)
    except BrokenImage:
        raise
    except Exception as error:  # Pillow raises many types for damaged data
        raise _damaged(data, f"{type(error).__name__}: {error}") from None
    return shown if turn is None else shown.transpose(turn)


def shown_size(data: bytes) -> tuple[int, int]:
    """Height and width of what `open_image` makes of an image's bytes, which are not decoded for it.

    Raises BrokenImage as `open_image` does, but for damage behind the header.
    """
    with _identified(data) as image:
        lies = _turn(image) in SIDEWAYS
        return (image.width, image.height) if lies else (image.height, image.width)


def shown_everywhere(data: bytes) -> tuple[bytes, str]:
    """Bytes, and their media type, that every viewer and endpoint shows as `open_image` does.

    They stay as they are where that is sure; else they become a PNG. Raises BrokenImage as `open_image` does.
    """
    with _identified(data) as image:
        plain = image.mode in PLAIN and not image.has_transparency_data and not getattr(image, "is_animated", False)
        if plain and image.format in EVERYWHERE and _turn(image) is None:
            return data, Image.MIME[image.format]
    buffer = io.BytesIO()
    open_image(data).save(buffer, format="PNG")
    return buffer.getvalue(), "image/png"


def _identified(data: bytes) -> Image.Image:
    """The image with its size and mode, not decoded. Raises BrokenImage for what may not be."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:  # Pillow's text names the object in memory
        raise _damaged(data, f"in none of the formats {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:  # Pillow's own bound, which is higher
        raise BrokenImage(f"expected an image of at most {MAX_PIXELS} pixels, found far more") from None
    except Exception as error:  # Pillow raises many types for damaged data
        raise _damaged(data, f"{type(error).__name__}: {error}") from None
    width, height = image.size
    if min(width, height) < 1:
        raise BrokenImage(f"expected an image with pixels, found one of {width} × {height}")
    if width * height > MAX_PIXELS:
        raise BrokenImage(f"expected an image of at most {MAX_PIXELS} pixels, found {width} × {height}")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise BrokenImage(
            f"expected an image with one side at most {MAX_ASPECT} times the other, found {width} × {height}"
        )
    return image


def _damaged(data: bytes, reason: str) -> BrokenImage:
    return BrokenImage(f"expected an image, found {len(data)} bytes that do not decode ({reason})")


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_levels(image)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    shown = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(shown, mask=shown.getchannel("A"))
    return white


def _levels(image: Image.Image) -> np.ndarray:
    """The grey levels of an image of more than 8 bits, uint8 [height, width]."""
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):  # Pillow scales to 16
        levels = (values >> 8).astype(np.uint8)  # as Pillow does with colours of 16 bits
        transparent = image.info.get("transparency")
        return levels if transparent is None else np.where(values == transparent, np.uint8(255), levels)
    values = values.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    values = np.where(np.isfinite(values), values, low)
    return np.rint((values - low) * (255 / ((high - low) or 1))).astype(np.uint8)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What turns an image upright; None where it is, or where its EXIF cannot be read."""
    try:
        return UPRIGHT.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # a note beside the pixels, which are whole
        return None
