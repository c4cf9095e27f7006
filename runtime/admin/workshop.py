"""What all our lists and pages in the admin have in common."""

from django.contrib import admin


class Workshop(admin.ModelAdmin):
    """Cheap lists: one count at most, none for each filter; and our styles."""

    class Media:  # styles that stand in the page itself are refused
        css = {"all": ["runtime/admin.css"]}  # noqa: RUF012 - as Django has it

    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 200
