"""Blocks of a text that is being written, as harmless HTML for the page that follows it.

The page has the text already, by its socket, and may not make HTML of it: what does is `prose`,
here as everywhere.
"""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from experience.dashboard import answering, prose
from runtime import llm

# In one request. A page asks for what it has newly got, about once a second.
MOST_BLOCKS = 1_000
MOST_CHARACTERS = 100_000


@require_POST
@answering.to_script
def form(request: HttpRequest) -> HttpResponse:
    """`{"blocks": […]}` to `{"html": […]}`, in the same order; null for one that is too long to
    be read as Markdown."""
    blocks = answering.said(request).get("blocks")
    if not isinstance(blocks, list) or not all(isinstance(each, str) for each in blocks):
        raise answering.NotReadable("`blocks` is a list of texts; send one.")
    if len(blocks) > MOST_BLOCKS or sum(map(len, blocks)) > MOST_CHARACTERS:
        most = f"{MOST_BLOCKS} blocks, of {MOST_CHARACTERS} characters together."
        return answering.problem(413, "too_large", f"Send at most {most}")
    return JsonResponse({"html": [prose.html(llm.clean(each)) for each in blocks]})
