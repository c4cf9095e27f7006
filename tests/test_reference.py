"""The documents name what there is, all of it, and nothing else."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand
from prometheus_client.metrics import MetricWrapperBase
from rest_framework import exceptions

from councilos import asgi
from experience import api, metrics, protocol, steering, terminal, urls
from experience import errors as http_errors
from experience import sketches as _has_refusals  # noqa: F401
from experience.protocol import agent, asyncapi, council
from runtime import budgets, errors, events, llm, logs, models, nodes, traces
from runtime import metrics as of_runs
from runtime.blueprints import gating
from runtime.llm import faults

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
OUR_APPS = ("councilos", "experience", "runtime")


# --- what the reference says -----------------------------------------------------------


def section(title: str) -> str:
    """What stands below a heading, up to the next of any level."""
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", REFERENCE, re.M | re.S)
    assert found, f"docs/reference.md has no section {title!r}"
    return found[1]


def rows(title: str) -> dict[str, str]:
    """The rows of a section's tables by the names in backticks in their first column."""
    named = {}
    for line in section(title).splitlines():
        if line.startswith("| `"):
            first, rest = line.removeprefix("|").split("|", 1)
            named.update(dict.fromkeys(re.findall(r"`([^`]+)`", first), rest))
    return named


# --- what the code says ----------------------------------------------------------------


def calls(where: str, wanted: Callable[[str], bool]) -> Iterator[ast.Call]:
    """The calls of a function, by its name as it is written, in the files of a glob."""
    for path in sorted(ROOT.glob(where)):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and wanted(ast.unparse(node.func)):
                yield node


def as_pattern(text: ast.expr) -> str:
    """A pattern for the texts that an expression (a constant or an f-string) can be."""
    if isinstance(text, ast.JoinedStr):
        return "".join(as_pattern(part) for part in text.values)
    return re.escape(text.value) if isinstance(text, ast.Constant) else r"\w+"


def settings() -> dict[str, tuple[str, ast.expr]]:
    """Type and default of each variable that the settings read."""
    found = calls("councilos/settings.py", lambda name: name.startswith("env."))
    return {
        call.args[0].value: (ast.unparse(call.func).removeprefix("env."), call.args[1])
        for call in found
        if call.args and isinstance(call.args[0], ast.Constant)
    }


def refusals(of: type[errors.Refusal] = errors.Refusal) -> set[str]:
    return {kind.code for kind in of.__subclasses__()}.union(
        *(refusals(kind) for kind in of.__subclasses__())
    )


def routes() -> set[str]:
    found = set()
    for pattern in urls.urlpatterns:
        path = "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern))
        view = getattr(pattern.callback, "cls", None)
        methods = [m for m in ("get", "post", "put", "delete") if hasattr(view, m)]
        found |= {f"{method.upper()} {path}" for method in methods or ["get"]}
    return found


def commands() -> dict[str, BaseCommand]:
    return {
        name: load_command_class(app, name)
        for name, app in get_commands().items()
        if app in OUR_APPS
    }


def options(command: BaseCommand) -> set[str]:
    """A command's own options, also those of what it can be asked to do (`token create`)."""
    parser = command.create_parser("manage.py", "it")
    plain = BaseCommand().create_parser("manage.py", "it")
    parsers = [parser]
    for action in parser._actions:
        if isinstance(action.choices, dict):
            parsers += action.choices.values()
    found = {name for each in parsers for name in each._option_string_actions}
    return {name for name in found - {*plain._option_string_actions} if name.startswith("--")}


# --- the comparison --------------------------------------------------------------------


def test_every_event_is_named_with_its_data():
    assert rows("Events").keys() == events.KINDS.keys()
    for kind, row in rows("Events").items():
        for part in events.KINDS[kind].split(","):
            assert f"`{re.findall('[a-z_]+', part)[0]}`" in row, (kind, part)


def test_every_frame_is_named_with_its_fields():
    told = asyncapi.frames(council.ToClient)
    frames = {frame.model_fields["event"].default: frame for frame in told}

    assert rows("Frames").keys() == frames.keys()
    for name, row in rows("Frames").items():
        for field in frames[name].model_fields.keys() - {"event", "run_id"}:
            assert f"`{field}`" in row, (name, field)


def test_every_event_of_the_agent_socket_is_named_with_its_data():
    frames = {
        frame.model_fields["event_type"].default: frame.model_fields["data"].annotation
        for frame in asyncapi.frames(agent.RuntimeEvent)
    }

    assert rows("Agent events").keys() == frames.keys()
    for name, row in rows("Agent events").items():
        for field in frames[name].model_fields.keys() - agent.Data.model_fields.keys():
            assert f"`{field.rstrip('_')}`" in row, (name, field)
    for field in agent.Data.model_fields:
        assert f"`{field}`" in section("Agent events")


@pytest.mark.parametrize(
    ("title", "union"),
    [("From the client", council.FromClient), ("To the agent socket", agent.FromClient)],
)
def test_everything_a_client_may_say_is_named_with_its_fields(title, union):
    kinds = asyncapi.frames(union)
    said = {get_args(kind.model_fields["type"].annotation)[0]: kind for kind in kinds}

    assert rows(title).keys() == said.keys()
    for name, row in rows(title).items():
        for field in said[name].model_fields.keys() - {"type", "id"}:
            assert f"`{field}`" in row, (name, field)


def test_every_close_code_is_named():
    codes = {str(value) for value in vars(protocol).values() if isinstance(value, int)}

    assert rows("Close codes").keys() == codes


def test_every_refusal_is_named_with_its_status():
    assert rows("Refusals").keys() == refusals() == http_errors.STATUS.keys()
    for code, row in rows("Refusals").items():
        assert row.startswith(f" {http_errors.STATUS[code]} |"), code


def test_every_code_of_a_request_is_named_with_its_status():
    kinds = {exceptions.APIException, *exceptions.APIException.__subclasses__()}
    # Nothing is throttled, and what is invalid is `input_invalid`.
    kinds -= {exceptions.Throttled, exceptions.ValidationError}

    named = rows("Codes of the request")

    assert named.keys() == {
        "internal",
        "too_large",
        "unavailable",
        *(kind.default_code for kind in kinds),
    }
    for kind in kinds:
        assert named[kind.default_code].startswith(f" {kind.status_code} |")


def test_every_code_of_the_socket_is_named():
    closed = [call.args[2] for call in calls("experience/consumers/*.py", "Closed".__eq__)]
    told = [call.args[1] for call in calls("experience/consumers/*.py", "self.complain".__eq__)]
    codes = {code.value for code in closed + told if isinstance(code, ast.Constant)}

    assert rows("Codes of the socket").keys() == codes


def test_every_code_of_a_failed_run_is_named():
    stated = [call.args[0] for call in calls("runtime/**/*.py", "errors.Fault".__eq__)]
    kinds = {kind.code for kind in vars(faults).values() if isinstance(kind, faults.Kind)}

    codes = kinds | {code.value for code in stated if isinstance(code, ast.Constant)}
    named = rows("Codes of a failed run").keys()

    assert codes <= named
    assert named - codes <= {*budgets.REASONS}


def test_every_fault_of_a_blueprint_is_named():
    found = calls("runtime/blueprints/*.py", "Fault".__eq__)
    patterns = {as_pattern(call.args[0]) for call in found if call.args}
    named = rows("Faults of a blueprint")

    for pattern in patterns:
        assert any(re.fullmatch(pattern, code) for code in named), pattern
    for code in named:
        assert any(re.fullmatch(pattern, code) for pattern in patterns), code


def test_every_route_is_named_with_its_method():
    assert rows("Routes").keys() == routes()


def test_every_socket_is_named_with_its_address():
    *named, _everything_else = asgi.sockets.routes
    assert len(named) == len(asyncapi.CHANNELS)
    for channel in asyncapi.CHANNELS:
        assert f"`{channel.address}" in section(f"The {channel.name} socket")


@pytest.mark.parametrize(
    "shape",
    [
        *(
            api.runs.RunRequest,
            api.runs.RunAccepted,
            api.runs.RunState,
            api.runs.RunSummary,
            api.runs.EventPage,
        ),
        *(steering.Answer, steering.Answered, steering.RetryRequest, steering.ForkRequest),
    ],
)
def test_every_field_of_a_request_and_an_answer_is_named(shape):
    for field in shape().fields:
        assert f"`{field}`" in section("Routes")


def test_every_field_of_the_working_state_is_named():
    for field in api.runs.STATE:
        assert f"`{field}`" in section("Routes")


def test_every_setting_is_named_with_its_type_and_default():
    read, named = settings(), rows("Settings")

    assert named.keys() == read.keys()
    for name, (kind, default) in read.items():
        told_kind, told_default, _meaning = (part.strip() for part in named[name].split("|", 2))
        assert told_kind == kind, name
        try:
            value = ast.literal_eval(default)
        except ValueError:
            continue  # a path, a log level
        assert told_default == _in_words(value), name


def _in_words(value: Any) -> str:
    if value in ("", [], {}):
        return "empty"
    if isinstance(value, list):
        return f"`{','.join(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def test_every_metric_is_named_with_its_type_and_labels(db):
    made = [each for module in (metrics, of_runs) for each in vars(module).values()]
    kept = [each for each in made if isinstance(each, MetricWrapperBase)]
    counted = {each._name: (each._type, set(each._labelnames)) for each in kept}
    for family in metrics.Database().collect():
        counted[family.name] = (family.type, {*family.samples[0].labels})

    named = {name.removesuffix("_total"): row for name, row in rows("Metrics").items()}

    assert named.keys() == counted.keys()
    for name, (kind, labels) in counted.items():
        told_kind, told_labels, _meaning = named[name].split("|", 2)
        assert (told_kind.strip(), set(re.findall("`(.*?)`", told_labels))) == (kind, labels)
        assert (f"{name}_total" in rows("Metrics")) == (kind == "counter")


def test_every_id_of_a_log_line_is_named():
    assert tuple(rows("Logs")) == logs.IDS
    for field in logs.ACCESS:
        assert f"`{field}`" in section("Logs")


def test_every_attribute_of_a_span_is_named():
    assert rows("Traces").keys() == traces.ATTRIBUTES.keys()


def test_every_command_is_named_with_its_options():
    titles = set(re.findall(r"^### manage\.py (\w+)$", REFERENCE, re.M))

    assert titles == commands().keys()
    for name, command in commands().items():
        told = {row for row in rows(f"manage.py {name}") if row.startswith("--")}
        assert told == options(command), name


def test_every_exit_code_of_a_council_is_named():
    told = {row for row in rows("manage.py council") if row.isdecimal()}

    assert told == {str(code) for code in terminal.EXIT.values()} | {"2"}


def test_every_target_of_the_makefile_is_named():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)

    assert targets
    assert rows("make").keys() == {f"make {target}" for target in targets[1].split()}


def test_every_system_check_is_named():
    source = (ROOT / "councilos" / "checks.py").read_text()

    assert rows("System checks").keys() == set(re.findall(r"councilos\.[EW]\d+", source))


def test_every_status_and_every_reason_is_named():
    source = "".join(path.read_text() for path in ROOT.glob("runtime/**/*.py"))
    named = rows("Reasons").keys()

    assert rows("Statuses").keys() == set(models.Status.values)
    assert {*budgets.REASONS} <= named
    for reason in named - {*budgets.REASONS}:
        assert f'"{reason}"' in source, reason


def test_every_place_and_action_of_a_gate_is_named():
    assert rows("Gates").keys() == {*get_args(gating.Place), "limit", *models.Action.values}


def test_every_kind_of_node_and_every_setting_of_one_is_named():
    fields = [
        field for kind in nodes.KINDS.values() for field in kind.settings.model_fields.values()
    ]

    assert rows("Node kinds").keys() == nodes.KINDS.keys()
    assert rows("Node settings").keys() == {field.alias for field in fields}


def test_every_provider_is_named():
    assert rows("Models").keys() == set(llm.names._PROVIDERS)


# --- the other documents ---------------------------------------------------------------


def test_the_documents_name_no_command_that_does_not_exist():
    for document in DOCUMENTS:
        for name in re.findall(r"manage\.py ([a-z_]+)", document.read_text()):
            assert name in get_commands(), (document.name, name)


def test_every_link_between_the_documents_leads_somewhere():
    for document in DOCUMENTS:
        for path, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", document.read_text()):
            target = (document.parent / path).resolve() if path else document
            assert target.exists(), (document.name, path)
            if anchor:
                assert anchor in anchors(target), (document.name, path, anchor)


def anchors(document: Path) -> set[str]:
    """What links into a document may end in, as GitHub and others make it of its headings."""
    titles = re.findall(r"^#+ (.*)$", document.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_rule_of_the_explanation_names_tests_that_exist():
    explanation = (ROOT / "docs" / "explanation.md").read_text()
    sources = "\n".join(path.read_text() for path in ROOT.glob("tests/**/test_*.py"))
    rules = re.split(r"^### \d\. ", explanation, flags=re.M)[1:]

    assert len(rules) == 8
    for rule in rules:
        assert re.search(r"`test_\w+`", rule), rule.splitlines()[0]
    for name in re.findall(r"`(test_\w+)`", explanation):
        assert f"def {name}(" in sources, name
