"""What all our lists and pages in the admin have in common."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.db import DataError
from django.http import HttpRequest


class Workshop(admin.ModelAdmin):
    """Cheap lists: one count at most, none for each filter; and our styles."""

    class Media:  # styles that stand in the page itself are refused
        css = {"all": ["runtime/admin.css"]}  # noqa: RUF012 - as Django has it

    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 200

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """What the database cannot even compare with (NUL, a word that an enum does not have)
        is answered as other filters that make no sense are, not with a 500."""
        try:
            return super().get_changelist_instance(request)
        except DataError as error:
            raise IncorrectLookupParameters from error
