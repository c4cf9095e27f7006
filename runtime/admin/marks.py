"""Pieces of a page: a link, a moment, a text, and JSON that folds. All of it is harmless."""

import json
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

# Characters. The whole is in the export and in the API.
LONGEST = 20_000


def address(thing: Model | type[Model], pk: Any = None) -> str:
    """Where a row is inspected; of a class, the list of its rows or the row `pk`."""
    name = f"{thing._meta.app_label}_{thing._meta.model_name}"
    pk = thing.pk if isinstance(thing, Model) else pk
    if pk is None:
        return reverse(f"admin:{name}_changelist")
    return reverse(f"admin:{name}_change", args=[pk])


def link(thing: Model | None, words: Any = None) -> SafeString | str:
    """A link to a row's page; a hyphen if there is none."""
    if thing is None:
        return "-"
    if type(thing) not in admin.site._registry:
        return str(words or thing)
    return format_html('<a href="{}"><bdi>{}</bdi></a>', address(thing), words or thing)


def rows_of(model: type[Model], query: str, words: str) -> SafeString:
    """A link to a list, narrowed down."""
    return format_html('<a href="{}?{}">{}</a>', address(model), query, words)


def moment(at: datetime) -> SafeString:
    return format_html(
        '<time datetime="{}">{}</time>', at.isoformat(), at.strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def cut(text: str) -> str:
    """A text no longer than a page bears; what it lacks is said."""
    left = len(text) - LONGEST
    return text if left <= 0 else f"{text[:LONGEST]}\n… and {left} characters more"


def text(words: str) -> SafeString | str:
    """A text as it was written, line by line."""
    return format_html('<div class="text" dir="auto">{}</div>', cut(words)) if words else "-"


def as_json(value: Any) -> str:
    """JSON for people to read; what JSON does not know stands there as its name."""
    return cut(json.dumps(value, ensure_ascii=False, indent=1, default=str))


def folded(title: str, value: Any) -> SafeString | str:
    """JSON behind a line that opens it; a hyphen if there is nothing in it."""
    if value in (None, {}, [], ""):
        return "-"
    return format_html(
        '<details><summary>{}</summary><pre dir="auto">{}</pre></details>',
        title,
        as_json(value),
    )
