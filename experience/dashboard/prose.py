"""Markdown that a model or a person wrote, as HTML that is harmless.

Read as CommonMark without HTML, and what comes of that is sanitised once more. Pictures are
left out: they would be loaded from elsewhere.
"""

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.token import Token

LONGEST = 50_000  # characters; a longer text is shown as it was written
# So is one that would take seconds, for the rows of a table are filled up to its head's width.
MOST_CELLS = 100_000
# Under the page's own headings: a text's first level is the page's fourth.
_LOWER = 3
_MARKDOWN = (
    MarkdownIt("commonmark", {"html": False})
    .enable(["table", "strikethrough"])
    .disable(["image", "html_block", "html_inline"])
)
_TAGS = {
    *("p", "br", "hr", "h4", "h5", "h6", "blockquote", "pre", "code", "ul", "ol", "li"),
    *("em", "strong", "s", "a", "table", "thead", "tbody", "tr", "th", "td"),
}


def html(text: str) -> SafeString | None:
    """The text as harmless HTML; None when it is too much to be read as Markdown."""
    if len(text) > LONGEST or _is_costly(text):
        return None
    tokens = _MARKDOWN.parse(text)
    for token in tokens:
        _lower(token)
    made = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    clean = nh3.clean(
        made,
        tags=_TAGS,
        attributes={"a": {"href", "title"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(clean)  # noqa: S308 - sanitised in the line above


def _is_costly(text: str) -> bool:
    lines = text.splitlines()
    widest = max((line.count("|") for line in lines), default=0)
    return widest * len(lines) > MOST_CELLS


def _lower(token: Token) -> None:
    if token.type in ("heading_open", "heading_close"):
        token.tag = f"h{min(6, int(token.tag[1]) + _LOWER)}"
