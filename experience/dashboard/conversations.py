"""The reader's conversations with agents."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
@login_required
def show(request: HttpRequest) -> HttpResponse:
    """The reader's conversations with agents."""
    return render(request, "dashboard/base.html")
