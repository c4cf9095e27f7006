"""The Django admin: runs to inspect and steer, gates to answer, allowances to give."""

from django.contrib import admin

from runtime.admin import agents, councils, queue, running, steering, versions

__all__ = ["agents", "councils", "queue", "running", "steering", "versions"]

# The lists are wide, and all that the bar beside them leads to is on the first page.
admin.site.enable_nav_sidebar = False
admin.site.site_header = "CouncilOS"
admin.site.site_title = "CouncilOS admin"
admin.site.index_title = "Workshop"
