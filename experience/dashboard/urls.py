"""Where the pages are."""

from django.contrib.auth.views import LogoutView
from django.urls import include, path

from experience.dashboard import approvals, history, run, signing, start

app_name = "dashboard"
urlpatterns = [
    path("", start.show, name="start"),
    path("estimates/<uuid:blueprint_id>/", start.estimate, name="estimate"),
    path("runs/", history.show, name="runs"),
    path("runs/<uuid:run_id>/", include(run.urlpatterns)),
    path("approvals/", approvals.show, name="approvals"),
    path("accounts/sign-in/", signing.SignIn.as_view(), name="sign-in"),
    path("accounts/sign-out/", LogoutView.as_view(), name="sign-out"),
]
