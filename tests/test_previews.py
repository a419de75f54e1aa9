"""What a link's preview shows: the amounts, in words and in a picture."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone
from PIL import Image

from accounts.models import User
from referrals.models import ProgrammeTerms, ReferralLink
from tests.newcomers import referrer

pytestmark = pytest.mark.django_db(transaction=True)

SLACK = {"user-agent": "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"}


@pytest.fixture
def link() -> ReferralLink:
    return referrer("alice")


def properties(page: str) -> dict[str, str]:
    return dict(re.findall(r'<meta (?:property|name)="((?:og|twitter):[\w:]+|robots)" content="([^"]*)"', page))


def preview(code: str) -> dict[str, str]:
    answer = Client(headers=SLACK).get(f"/r/{code}/")
    assert answer.status_code == 200
    return properties(answer.content.decode())


def picture(code: str) -> str:
    return preview(code)["og:image"].removeprefix(settings.SITE_URL)


def test_preview_says_the_amounts_and_is_not_indexed(link: ReferralLink) -> None:
    said = preview(link.code)
    assert said["og:title"] == "A friend invites you"
    assert said["og:description"] == "Sign up and start with $5 of credit and a free trial of $300."
    assert said["og:url"] == f"{settings.SITE_URL}/r/{link.code}/"
    assert (said["og:image:width"], said["og:image:height"]) == ("1200", "630")
    assert said["robots"] == "noindex"
    assert said["twitter:card"] == "summary_large_image"


def test_preview_names_nobody_but_who_chose_a_public_first_name(link: ReferralLink) -> None:
    User.objects.filter(pk=link.owner_id).update(public_first_name="Alice")
    assert preview(link.code)["og:title"] == "Alice invites you"


def test_preview_of_a_link_that_does_not_work_promises_no_credit() -> None:
    said = preview("nobody")
    assert said["og:title"] == "Start with a free trial"
    assert said["og:description"] == "Every new customer starts with a free trial of $300."
    assert "og:url" not in said
    assert "/trial-" in said["og:image"]


def test_people_see_the_same_preview_as_programs(link: ReferralLink) -> None:
    seen = properties(Client().get(f"/r/{link.code}/").content.decode())
    assert seen == preview(link.code)


def test_picture_is_a_png_of_1200_by_630_that_may_be_kept(client: Client, link: ReferralLink) -> None:
    answer = client.get(picture(link.code))
    assert answer["Content-Type"] == "image/png"
    drawn = Image.open(io.BytesIO(answer.content))
    assert (drawn.format, drawn.size) == ("PNG", (1200, 630))
    assert "public" in answer["Cache-Control"]
    assert "max-age=2592000" in answer["Cache-Control"]
    assert not answer.cookies
    again = client.get(picture(link.code), headers={"if-none-match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_picture_follows_the_terms_and_the_language(client: Client, link: ReferralLink) -> None:
    before = client.get(picture(link.code)).content
    assert client.get(picture(link.code).replace("-en.", "-de.")).content != before
    ProgrammeTerms.objects.create(starts_at=timezone.now() - timedelta(seconds=1), welcome_individual=7)
    other = referrer("ann")
    assert client.get(picture(other.code)).content != before
    assert client.get(picture("nobody")).content not in (before, client.get(picture(other.code)).content)


def test_terms_that_have_not_started_have_no_picture(client: Client) -> None:
    later = ProgrammeTerms.objects.create(starts_at=timezone.now() + timedelta(days=1), welcome_individual=7)
    assert client.get(f"/invitation/friend-{later.pk}-en.png").status_code == 404
    assert client.get(f"/invitation/friend-{'9' * 18}-en.png").status_code == 404
    assert client.get("/invitation/friend-1-fr.png").status_code == 404
