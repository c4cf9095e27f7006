"""What the server answers, and where."""

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from experience import blueprints, health, metrics, signin, steering
from experience.api import agents, asyncapi, conversations, credentials, runs

# Its script comes in a request of its own; but it writes styles into the page.
_swagger = csp_update({"style-src": [SELF, UNSAFE_INLINE]})(
    SpectacularSwaggerSplitView.as_view(url_name="schema")
)

urlpatterns = [
    path("api/councils/run", runs.run_default),
    path("api/councils/<uuid:blueprint_id>/run", runs.run_blueprint),
    path("api/councils/run/<uuid:run_id>", runs.run_status),
    path("api/councils/run/<uuid:run_id>/state", runs.run_state),
    path("api/councils/run/<uuid:run_id>/events", runs.run_events),
    path("api/councils/run/<uuid:run_id>/approve", steering.approve),
    path("api/councils/run/<uuid:run_id>/cancel", runs.run_cancel),
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
    path("api/runs/", runs.run_list),
    path("api/runs/<uuid:run_id>", runs.run_detail),
    path("api/conversations/", conversations.Conversations.as_view()),
    path("api/conversations/<uuid:conversation_id>", conversations.conversation_detail),
    path("api/conversations/<uuid:conversation_id>/messages", conversations.Messages.as_view()),
    path("api/conversations/<uuid:conversation_id>/events", conversations.conversation_events),
    path("api/conversations/<uuid:conversation_id>/cancel", conversations.conversation_cancel),
    path("api/messages", conversations.begin),
    path("api/agents/", agents.agent_list),
    path("api/tokens/", credentials.Tokens.as_view()),
    path("api/tokens/<int:token_id>", credentials.Token.as_view()),
    path("api/tickets", credentials.Tickets.as_view()),
    path("api/tickets/<int:ticket_id>", credentials.Ticket.as_view()),
    path("api/asyncapi/", asyncapi.document),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", _swagger),
    path("sign-in/", signin.sign_in, name="sign-in"),
    path("healthz", health.alive),
    path("readyz", health.ready),
    path("metrics", metrics.show),
]
