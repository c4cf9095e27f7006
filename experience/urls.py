"""What the server answers, and where."""

from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from experience import api, health, signin

urlpatterns = [
    path("api/councils/run", api.run_default),
    path("api/councils/<uuid:blueprint_id>/run", api.run_blueprint),
    path("api/councils/run/<uuid:run_id>", api.run_status),
    path("api/councils/run/<uuid:run_id>/state", api.run_state),
    path("api/councils/run/<uuid:run_id>/events", api.run_events),
    path("api/councils/run/<uuid:run_id>/cancel", api.run_cancel),
    path("api/runs/", api.run_list),
    path("api/runs/<uuid:run_id>", api.run_detail),
    path("api/tickets", api.create_ticket),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema")),
    path("sign-in/", signin.sign_in, name="sign-in"),
    path("healthz", health.alive),
    path("readyz", health.ready),
]
