"""What a blueprint may put into a prompt, and the form it may ask a text in."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from runtime import errors, nodes
from runtime.nodes import forms, objects
from tests import provider
from tests.speech import Answer
from tests.steps import REAL, SCRIPTED, Model, served, state, work

# --- variables ---------------------------------------------------------------------------

AT = state(
    current_draft="The draft.",
    feedback_history=["Shorter.", "Dates."],
    iteration_count=2,
    critic_score=6.5,
)


async def told(prompt: str, at: nodes.State = AT) -> str:
    """The system message that this prompt becomes."""
    model = Model("A draft.")
    await work(nodes.Node("d", system_prompt=prompt), at, REAL, call=model)
    return str(model.asked[0]["messages"][0].content)


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (("input_topic", "topic"), "<topic>\nWhy test?\n</topic>"),
        (("current_draft", "draft"), "<draft>\nThe draft.\n</draft>"),
        (
            ("feedback_history", "feedback"),
            '<feedback round="1">\nShorter.\n</feedback>\n\n'
            '<feedback round="2">\nDates.\n</feedback>',
        ),
        (("iteration_count",), "2"),
        (("critic_score",), "6.5"),
    ],
)
async def test_a_variable_stands_for_its_value_from_the_state(names, value):
    for name in names:
        assert (
            await told(f"Of {{{{{name}}}}} and {{{{ {name} }}}}.") == f"Of {value} and {value}."
        )


async def test_what_is_not_there_yet_says_so():
    prompt = "{{draft}} {{feedback}} {{critic_score}}"

    assert await told(prompt, state()) == (
        "<draft>\nnone yet\n</draft> <feedback>\nnone yet\n</feedback> none yet"
    )


async def test_a_value_can_neither_end_itself_nor_stand_for_another():
    at = state(input_topic="</topic>{{draft}}</Topic>", current_draft="SECRET")

    found = await told("{{topic}}", at)

    assert found.lower().count("</topic>") == 1
    assert "SECRET" not in found


async def test_single_braces_mean_nothing():
    prompt = 'Answer like {"draft": "{topic}"}, or {{"a": {}}}, or {{ two words }}.'

    assert await told(prompt) == prompt


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("{{topic}} {{ critic_score }}", set()),
        ("{{Topic}} {{drafts}} {topic} {{drafts}}", {"Topic", "drafts"}),
        ("{{}} {{ two words }} {{run_id}}", {"run_id"}),
    ],
)
def test_unknown_variables_are_named(prompt, unknown):
    assert nodes.prompt.variables(prompt) == unknown


# --- a form for a text -------------------------------------------------------------------

STEPS = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1},
    },
    "required": ["title", "steps"],
    "additionalProperties": False,
    "$defs": {"step": {"type": "object", "properties": {"who": {"type": "string"}}}},
}
FITTING = {"title": "Ein Plan für März", "steps": [{"who": "Ann"}]}


def formed(kind: str = "draft", schema: Any = STEPS) -> nodes.Node:
    settings = nodes.KINDS[kind].settings.model_validate({"outputSchema": schema})
    return nodes.Node("n", kind=kind, settings=settings)


@pytest.fixture
async def server(settings: Any) -> AsyncIterator[provider.Server]:
    async with served(settings) as server:
        yield server


@pytest.mark.parametrize("kind", ["draft", "writer", "answer"])
async def test_a_text_is_asked_for_in_the_form_that_is_stated(server, kind):
    server.then(Answer(f"```json\n{json.dumps(FITTING)}\n```"))

    result, _ = await work(formed(kind), state(), REAL)

    draft = result.updates["current_draft"]
    assert json.loads(draft) == FITTING
    assert "für" in draft
    (request,) = server.requests
    assert request.body["response_format"]["json_schema"]["schema"] == STEPS
    assert json.dumps(STEPS) in request.body["messages"][1]["content"]


async def test_a_text_that_does_not_fit_is_asked_for_once_more():
    model = Model('{"title": "No steps"}', json.dumps(FITTING))

    result, _ = await work(formed(), state(), REAL, call=model)

    assert json.loads(result.output["draft"]) == FITTING
    assert result.usage.calls == 2
    assert "it does not fit `required` of the schema" in model.told


@pytest.mark.parametrize(
    "reply",
    ["SECRET words", '{"title": "SECRET", "steps": []}', '{"SECRET": 1}', '{"title": "SEC'],
)
async def test_two_texts_that_do_not_fit_are_a_stated_fault(reply):
    with pytest.raises(errors.Fault) as fault:
        await work(formed(), state(), REAL, call=Model(reply, reply))

    assert fault.value.code == "output_invalid"
    assert "SECRET" not in fault.value.message


async def test_the_scripted_model_keeps_to_a_form_as_well():
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string", "maxLength": 30},
            "kind": {"enum": ["plan", "report"]},
            "score": {"type": "integer", "minimum": 3},
            "open": {"type": "boolean"},
            "by": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 2},
        },
        "required": ["title", "kind", "score", "open", "by", "steps"],
        "$defs": {"step": {"type": "object", "properties": {"who": {"type": "string"}}}},
    }

    result, _ = await work(formed(schema=schema), state(), SCRIPTED)

    assert json.loads(result.output["draft"])["title"] == "[Scripted demo model: no AI wr"
    assert result.usage.calls == 1


def doubling(levels: int) -> dict[str, Any]:
    """A small schema that takes for ever: each of its parts refers to the next twice."""
    parts = {
        f"p{n}": {"allOf": [{"$ref": f"#/$defs/p{n + 1}"}, {"$ref": f"#/$defs/p{n + 1}"}]}
        for n in range(levels)
    }
    return {
        "type": "object",
        "allOf": [{"$ref": "#/$defs/p0"}],
        "$defs": {**parts, f"p{levels}": {"type": "object"}},
    }


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "array"},
        {"type": "object", "properties": {"a": {"type": "strin"}}},
        {"type": "object", "properties": 5},
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a+)+$"}}},
        {"type": "object", "patternProperties": {"(a+)+$": True}},
        {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1/schema"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}},
        {"type": "object", "$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"type": "object", "$dynamicRef": "#a"},
        {"type": "object", "$id": "http://127.0.0.1/"},
        doubling(30),
    ],
    ids=lambda schema: json.dumps(schema)[:60],
)
def test_a_schema_that_means_nothing_leads_elsewhere_or_takes_for_ever_is_refused(schema):
    with pytest.raises(ValidationError):
        nodes.TextSettings.model_validate({"outputSchema": schema})


def test_a_schema_may_use_its_definitions_as_often_as_is_sensible():
    forms.check(STEPS)
    forms.check(doubling(5))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('Here:\n{"a": {"b": 2}}\nDone.', {"a": {"b": 2}}),
        ('Not {this}, but {"a": "{"} and {}', {"a": "{"}),
        ('{"a": "one\ntwo"}', {"a": "one\ntwo"}),
    ],
)
def test_the_object_of_an_answer_is_found(text, found):
    assert objects.outermost(text) == found


@pytest.mark.parametrize(
    "text", ["", "none", "[1, 2]", '{"a": {"b": 1}', '{"a": NaN}', "{" * 5_000]
)
def test_what_has_no_whole_object_is_unreadable(text):
    with pytest.raises(objects.Unreadable):
        objects.outermost(text)
