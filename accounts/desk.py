"""What the admin's pages have in common: rows that are looked at, and actions that ask before they are carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    ModelForm = forms.ModelForm[Any]
    TabularInline = admin.TabularInline[Any, Any]
else:
    ModelAdmin = admin.ModelAdmin
    ModelForm = forms.ModelForm
    TabularInline = admin.TabularInline

MOST_AT_ONCE = 100


class LookedAt:
    """Nothing is added, changed or deleted by a form: rows are written by operations alone."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReadOnlyAdmin(LookedAt, ModelAdmin):
    """Pages of a table that is looked at; what its rows go through are actions."""

    show_full_result_count = False
    list_per_page = MOST_AT_ONCE
    list_max_show_all = MOST_AT_ONCE


class ReadOnlyInline(LookedAt, TabularInline):
    """The rows that belong to the one on the page."""

    extra = 0
    can_delete = False
    show_change_link = True


def ask_first(
    desk: ModelAdmin,
    request: HttpRequest,
    chosen: QuerySet[Any],
    *,
    title: str,
    form_class: type[forms.Form],
    carry_out: Callable[[Any, dict[str, Any]], object],
    refusals: tuple[type[Exception], ...],
) -> TemplateResponse | None:
    """Show the page between an action and its operation; once it is answered, carry it out for every row chosen.

    Each row stands for itself: one that is refused is named with the reason, and the others go through. `carry_out`
    returns False where there was nothing to change.
    """
    is_answer = "carry_out" in request.POST
    form = form_class(request.POST if is_answer else None)
    rows = list(chosen[: MOST_AT_ONCE + 1])
    if len(rows) > MOST_AT_ONCE:
        messages.error(request, f"Nothing done: at most {MOST_AT_ONCE} at once. Choose fewer.")
        return None
    if not (is_answer and form.is_valid()):
        context = {
            **desk.admin_site.each_context(request),
            "title": title,
            "form": form,
            "rows": rows,
            "action": request.POST["action"],
            "opts": desk.model._meta,
        }
        return TemplateResponse(request, "admin/ask_first.html", context)
    for row in rows:
        try:
            changed = carry_out(row, form.cleaned_data)
        except refusals as refusal:
            messages.error(request, f"Refused for {row}: {refusal}")
        else:
            # The admin writes a message's first letter large: an id must not stand there.
            if changed is False:
                messages.warning(request, f"Nothing to change for {row}: that is so already.")
            else:
                messages.success(request, f"Done for {row}.")
    return None
