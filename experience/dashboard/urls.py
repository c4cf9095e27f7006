"""Where the pages are."""

from django.contrib.auth.views import LogoutView
from django.urls import include, path

from experience.dashboard import (
    account,
    approvals,
    blueprint,
    compare,
    conversations,
    gallery,
    growing,
    history,
    run,
    signing,
    sketches,
    start,
)

app_name = "dashboard"
urlpatterns = [
    path("", start.show, name="start"),
    path("estimates/<uuid:blueprint_id>/", start.estimate, name="estimate"),
    path("runs/", history.show, name="runs"),
    path("runs/rows/", history.show_rows, name="run-rows"),
    path("runs/compare/", compare.show, name="compare"),
    path("runs/<uuid:run_id>/", include(run.urlpatterns)),
    path("approvals/", approvals.show, name="approvals"),
    path("approvals/count/", approvals.count, name="waiting"),
    path("conversations/", conversations.show, name="conversations"),
    path("conversations/<uuid:conversation_id>/", include(conversations.urlpatterns)),
    path("blueprints/", gallery.show, name="blueprints"),
    path("blueprints/sketches/", include(sketches.urlpatterns)),
    path("blueprints/<uuid:blueprint_id>/", include(blueprint.urlpatterns)),
    path("prose/", growing.form, name="prose"),
    path("account/", include(account.urlpatterns)),
    path("accounts/sign-in/", signing.SignIn.as_view(), name="sign-in"),
    path("accounts/sign-out/", LogoutView.as_view(), name="sign-out"),
]
