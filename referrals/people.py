"""Whether a request is a person's who looks at the page now: not a crawler's, a preview's, or ahead of time."""

from functools import lru_cache

from crawlerdetect import CrawlerDetect
from django.http import HttpRequest

# What the library does not know yet; in small letters.
FURTHER_CRAWLERS = ("meta-externalagent", "meta-externalfetcher", "google-pagerenderer", "bluesky cardyb")
# How browsers, old and new, say that they fetch a page before anybody has asked for it.
AHEAD_OF_TIME = ("HTTP_SEC_PURPOSE", "HTTP_PURPOSE", "HTTP_X_PURPOSE", "HTTP_X_MOZ")
LONGEST_AGENT = 500

detector = CrawlerDetect()


def is_person(request: HttpRequest) -> bool:
    """Whether somebody looks at this page: GET, by a browser, and not ahead of time."""
    if request.method != "GET" or any(is_ahead(request.META.get(name, "")) for name in AHEAD_OF_TIME):
        return False
    return not is_crawler(request.META.get("HTTP_USER_AGENT", "")[:LONGEST_AGENT])


def is_ahead(purpose: str) -> bool:
    """Whether a header says that the page is only fetched in advance."""
    return purpose.lower().startswith(("prefetch", "prerender", "preview"))


@lru_cache(maxsize=4096)
def is_crawler(agent: str) -> bool:
    """Whether a program with this name reads pages for others. A Chrome without a window is a browser all the same."""
    agent = agent.replace("HeadlessChrome", "Chrome")
    return any(name in agent.lower() for name in FURTHER_CRAWLERS) or detector.is_crawler(agent)
