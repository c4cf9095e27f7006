"""The one-time link that `manage.py up` prints."""

from django.contrib import auth
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from experience import access, models


@never_cache
@require_GET
def sign_in(request: HttpRequest) -> HttpResponse:
    """Sign in with a ticket that is good once, and lead on to `next` on this server."""
    ticket = access.use_ticket(
        request.GET.get("ticket", ""), purpose=models.Ticket.Purpose.SIGN_IN
    )
    if ticket is None:
        return render(request, "sign_in_failed.html", status=403)
    auth.login(request, ticket.user, backend="django.contrib.auth.backends.ModelBackend")
    target = request.GET.get("next", "/")
    if not url_has_allowed_host_and_scheme(target, allowed_hosts=None):
        target = "/"
    response = redirect(target)
    response["Referrer-Policy"] = "no-referrer"  # the address holds the ticket
    return response
