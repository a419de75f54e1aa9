"""The page between a decision and its being carried out shows what it is about."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from referrals.models import Referral
from referrals.operations import settle
from tests.facts import JANUARY, NOW, day, fact, record, register
from tests.pages import words

pytestmark = pytest.mark.django_db(transaction=True)


def test_question_shows_both_people_and_the_amounts(client: Client) -> None:
    staff = User.objects.create_user("staff@example.com", is_staff=True, is_superuser=True, created_at=JANUARY)
    client.force_login(staff)
    bob = register("bob", referred_by=register("alice"))
    record(fact(bob, "ecs", "21", day(1, 5)))
    settle(as_of=day(3, 1), now=NOW)
    chosen = {"action": "refuse", "_selected_action": [Referral.objects.get().pk]}
    page = client.post(reverse("admin:referrals_referral_changelist"), chosen).content.decode()
    assert "1 referral " in words(page)
    assert "bob alice 1 Jan 2026 $21.00 $20.00 $0.00 no no Reason" in words(page)
    assert 'class="form-row field-reason"' in page
