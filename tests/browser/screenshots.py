"""`make screenshots`: every page as each reader sees it, at two widths and in both themes, into var/screenshots/."""

import html
import os
import shutil
import sys
import tempfile
from pathlib import Path

import django
from playwright.sync_api import Page, sync_playwright

from tests.browser.people import READERS, come_as
from tests.browser.product import ROOT, launch, running_demo
from tests.browser.readers import file_name, pages_of

FOLDER = ROOT / "var" / "screenshots"
SIZES = ((390, 844), (1440, 900))
THEMES = ("light", "dark")


def main() -> None:
    """Start a demo, walk through it as everybody, and leave the pictures and a page that shows them all."""
    os.environ["REFERRAL_DATA_DIR"] = tempfile.mkdtemp(prefix="shots-", dir="/tmp")
    os.environ["DJANGO_SETTINGS_MODULE"] = "referral_site.settings"
    django.setup()
    shutil.rmtree(FOLDER, ignore_errors=True)
    taken: list[Path] = []
    with running_demo() as site, sync_playwright() as playwright:
        browser = launch(playwright)
        for who in READERS:
            context = browser.new_context(base_url=site, reduced_motion="reduce")
            taken += pictures_of(come_as(context, who), who)
            context.close()
        browser.close()
    (FOLDER / "index.html").write_text(sheet(taken))
    sys.stdout.write(f"{len(taken)} pictures in {FOLDER.relative_to(ROOT)}; index.html shows them all.\n")


def pictures_of(page: Page, who: str) -> list[Path]:
    folder = FOLDER / who
    folder.mkdir(parents=True)
    taken: list[Path] = []
    for address in pages_of(page, who):
        page.goto(address)
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            for theme in THEMES:
                page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
                taken.append(folder / f"{file_name(address)}-{width}-{theme}.png")
                page.screenshot(path=taken[-1], full_page=True)
    sys.stdout.write(f"{who}: {len(taken)}\n")
    return taken


def sheet(pictures: list[Path]) -> str:
    """A page with all pictures, side by side."""
    figures = "\n".join(
        f'<figure><a href="{name}"><img src="{name}" loading="lazy" alt=""></a><figcaption>{name}</figcaption></figure>'
        for name in (html.escape(str(path.relative_to(FOLDER))) for path in pictures)
    )
    style = "body{display:flex;flex-wrap:wrap;gap:1rem;font:12px sans-serif}figure{width:300px;margin:0}img{width:100%}"
    return f"<!doctype html><title>Screenshots</title><style>{style}</style>\n{figures}\n"


if __name__ == "__main__":
    main()
