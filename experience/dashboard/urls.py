"""Where the pages are."""

from django.contrib.auth.views import LogoutView
from django.urls import include, path

from experience.dashboard import (
    account,
    approvals,
    compare,
    conversations,
    gallery,
    history,
    run,
    signing,
    start,
)

app_name = "dashboard"
urlpatterns = [
    path("", start.show, name="start"),
    path("estimates/<uuid:blueprint_id>/", start.estimate, name="estimate"),
    path("runs/", history.show, name="runs"),
    path("runs/compare/", compare.show, name="compare"),
    path("runs/<uuid:run_id>/", include(run.urlpatterns)),
    path("approvals/", approvals.show, name="approvals"),
    path("conversations/", conversations.show, name="conversations"),
    path("blueprints/", gallery.show, name="blueprints"),
    path("account/", account.show, name="account"),
    path("accounts/sign-in/", signing.SignIn.as_view(), name="sign-in"),
    path("accounts/sign-out/", LogoutView.as_view(), name="sign-out"),
]
