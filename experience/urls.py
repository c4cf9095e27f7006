"""What the server answers, and where."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from experience import api, blueprints, health, signin, steering

urlpatterns = [
    path("api/councils/run", api.run_default),
    path("api/councils/<uuid:blueprint_id>/run", api.run_blueprint),
    path("api/councils/run/<uuid:run_id>", api.run_status),
    path("api/councils/run/<uuid:run_id>/state", api.run_state),
    path("api/councils/run/<uuid:run_id>/events", api.run_events),
    path("api/councils/run/<uuid:run_id>/approve", steering.approve),
    path("api/councils/run/<uuid:run_id>/cancel", api.run_cancel),
    path("api/councils/run/<uuid:run_id>/retry", steering.retry),
    path("api/councils/run/<uuid:run_id>/fork", steering.fork),
    path("api/councils/", blueprints.Blueprints.as_view()),
    path("api/councils/check", blueprints.Check.as_view()),
    path("api/councils/<uuid:blueprint_id>", blueprints.Blueprint.as_view()),
    path("api/councils/<uuid:blueprint_id>/versions", blueprints.Versions.as_view()),
    path(
        "api/councils/<uuid:blueprint_id>/versions/<int:number>", blueprints.Version.as_view()
    ),
    path(
        "api/councils/<uuid:blueprint_id>/versions/<int:number>/diff",
        blueprints.Compare.as_view(),
    ),
    path("api/councils/<uuid:blueprint_id>/export", blueprints.Export.as_view()),
    path("api/councils/<uuid:blueprint_id>/drawing", blueprints.Drawing.as_view()),
    path("api/runs/", api.run_list),
    path("api/runs/<uuid:run_id>", api.run_detail),
    path("api/tickets", api.create_ticket),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema")),
    path("sign-in/", signin.sign_in, name="sign-in"),
    path("healthz", health.alive),
    path("readyz", health.ready),
]
