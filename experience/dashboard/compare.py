"""Two runs side by side."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
@login_required
def show(request: HttpRequest) -> HttpResponse:
    """Two runs side by side."""
    return render(request, "dashboard/base.html")
