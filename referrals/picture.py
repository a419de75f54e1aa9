"""The picture of a link's preview: 1200 × 630 pixels that say what a newcomer gets."""

import hashlib
import io
from functools import lru_cache
from typing import NamedTuple

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext
from font_roboto import RobotoBold, RobotoMedium
from PIL import Image, ImageDraw, ImageFont

from accounts.templatetags.wording import short_dollars
from referrals.models import ProgrammeTerms

SIZE = (1200, 630)
MARGIN = 80
GAP = 40
# The colours of static/css/tokens.css, in the light theme.
GROUND, CARD, INK, SOFT, ACCENT = "#084f45", "#ffffff", "#16211f", "#52605d", "#0b6b5d"


class Picture(NamedTuple):
    """A picture and its ETag."""

    png: bytes
    etag: str


class Words(NamedTuple):
    """What a picture says: who runs the programme, a heading, figures each with its name, and a line below."""

    operator: str
    heading: str
    figures: tuple[tuple[str, str], ...]
    remark: str


def picture_of(*, terms: ProgrammeTerms, kind: str, language: str) -> Picture:
    """Return the picture for these terms, in a language: `friend` for a link that works, `trial` for another."""
    with translation.override(language):
        return draw(words_of(terms, is_invited=kind == "friend"))


def words_of(terms: ProgrammeTerms, *, is_invited: bool) -> Words:
    """Word the amounts in the language that is active."""
    trial = (short_dollars(terms.trial_individual), gettext("free trial"))
    if not is_invited:
        remark = gettext("Enterprises: %(trial)s, once verified") % {"trial": short_dollars(terms.trial_enterprise)}
        return Words(settings.OPERATOR_NAME, gettext("Start with a free trial"), (trial,), remark)
    welcome = (short_dollars(terms.welcome_individual), gettext("welcome credit"))
    remark = gettext("Enterprises: %(trial)s and %(welcome)s, once verified") % {
        "trial": short_dollars(terms.trial_enterprise),
        "welcome": short_dollars(terms.welcome_enterprise),
    }
    return Words(settings.OPERATOR_NAME, gettext("A friend invites you"), (trial, welcome), remark)


@lru_cache(maxsize=32)
def draw(words: Words) -> Picture:
    """Draw the words; the same words are the same bytes."""
    image = Image.new("RGB", SIZE, GROUND)
    pen = ImageDraw.Draw(image)
    inside = SIZE[0] - 2 * MARGIN
    pen.text((MARGIN, 70), words.operator, font=fitting(words.operator, RobotoMedium, 36, inside), fill=CARD)
    pen.text((MARGIN, 130), words.heading, font=fitting(words.heading, RobotoBold, 76, inside), fill=CARD)
    width = (inside - GAP * (len(words.figures) - 1)) // len(words.figures)
    for number, (figure, name) in enumerate(words.figures):
        draw_figure(pen, left=MARGIN + number * (width + GAP), width=width, figure=figure, name=name)
    pen.text((MARGIN, 540), words.remark, font=fitting(words.remark, RobotoMedium, 34, inside), fill=CARD)
    written = io.BytesIO()
    image.quantize(64).save(written, "PNG", optimize=True)
    png = written.getvalue()
    return Picture(png, f'"{hashlib.sha256(png).hexdigest()[:32]}"')


def draw_figure(pen: ImageDraw.ImageDraw, *, left: int, width: int, figure: str, name: str) -> None:
    """Draw one figure on its card."""
    top, bottom, inner = 260, 490, width - 80
    pen.rounded_rectangle((left, top, left + width, bottom), radius=24, fill=CARD)
    pen.text((left + 40, top + 20), figure, font=fitting(figure, RobotoBold, 108, inner), fill=ACCENT)
    pen.text((left + 40, top + 158), name, font=fitting(name, RobotoMedium, 40, inner), fill=INK)


def fitting(text: str, font: str, size: int, width: int) -> ImageFont.FreeTypeFont:
    """Return the font in the largest size, up to `size`, in which a text is no wider than `width`."""
    chosen = ImageFont.truetype(font, size)
    while chosen.getlength(text) > width and size > 12:
        size -= 2
        chosen = ImageFont.truetype(font, size)
    return chosen
