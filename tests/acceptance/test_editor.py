"""The blueprint editor in a browser, on the real stack."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.acceptance import stack as stacks

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

A_BLUEPRINT = re.compile(r"/blueprints/[0-9a-f-]{36}/$")
A_RUN = re.compile(r"/runs/[0-9a-f-]{36}/$")
HOSTILE = "<img src=x onerror=alert(1)>\u202eesrever" + "x" * 10_000
LOOP: dict[str, Any] = {
    "version": 1,
    "name": "A loop",
    "nodes": [
        {"id": "author", "label": "Author", "kind": "draft", "systemPrompt": "Write."},
        {"id": "judge", "label": "Judge", "kind": "critic", "settings": {"threshold": 7}},
    ],
    "edges": [
        {"id": "on", "source": "author", "target": "judge", "type": "linear"},
        {
            "id": "back",
            "source": "judge",
            "target": "author",
            "type": "conditional",
            "condition": "revise",
        },
        {
            "id": "out",
            "source": "judge",
            "target": "last",
            "type": "conditional",
            "condition": "approve",
        },
    ],
}
LOOP["nodes"].append({"id": "last", "label": "Last", "kind": "writer"})


@pytest.fixture(scope="module")
def stack(browser: Browser) -> Iterator[stacks.Stack]:
    with stacks.running(DEMO_TOKENS_PER_SECOND="0") as made:
        yield made


def begin(page: Page, stack: stacks.Stack, **said: Any) -> None:
    """Open the editor on a new sketch: of nothing, of a `document`, of a `blueprint`."""
    page.goto(f"{stack.url}/account/")
    token = page.locator('meta[name="csrf-token"]').get_attribute("content")
    form = {"csrfmiddlewaretoken": token or "", **said}
    answer = page.request.post(f"{stack.url}/blueprints/sketches/", form=form, max_redirects=0)
    page.goto(stack.url + answer.headers["location"])
    expect(page.locator("#canvas .node").first).to_be_visible()


def begin_loop(page: Page, stack: stacks.Stack, **more: Any) -> None:
    begin(page, stack, document=json.dumps({**LOOP, **more}))


def kept(page: Page) -> dict[str, Any]:
    """The document, as soon as the server has everything."""
    expect(page.locator("#kept")).to_have_text("Kept")
    return dict(page.request.get(f"{page.url}document").json()["document"])


def node(page: Page, key: str) -> Locator:
    return page.locator(f'#canvas [data-key="{key}"]')


def drag(page: Page, held: Locator, by: tuple[int, int] | None = None, to: Any = None) -> None:
    """With the mouse, from the middle of one thing by so much, or to the middle of another."""
    box = held.bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    end = to.bounding_box() if to else None
    across, down = by or (end["x"] + end["width"] / 2 - x, end["y"] + end["height"] / 2 - y)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + across / 2, y + down / 2)
    page.mouse.move(x + across, y + down, steps=4)
    page.mouse.up()


def connect(page: Page, source: str, target: str) -> None:
    drag(page, node(page, source).locator(".dot"), to=node(page, target).locator(".label"))


def add(page: Page, kind: str) -> None:
    page.get_by_label("Kind of the new node").select_option(kind)
    page.get_by_role("button", name="Add node").click()


def fault_list(page: Page) -> Locator:
    return page.locator("#faults-list li")


def conditions(document: dict[str, Any]) -> list[tuple[str, str, str | None]]:
    return [(e["source"], e["target"], e.get("condition")) for e in document["edges"]]


# --- by mouse --------------------------------------------------------------------------


def test_a_council_is_drawn_by_mouse_tried_out_and_saved(page, stack):
    begin(page, stack)
    add(page, "critic")
    expect(page.locator("#told")).to_have_text("Critic added")
    expect(fault_list(page)).to_contain_text(["Node critic is never reached"])
    expect(node(page, "critic")).to_have_accessible_name("Critic, critic, 1 fault")
    expect(page.locator("#panel .faults-here")).to_contain_text("never reached")

    connect(page, "draft", "critic")
    expect(fault_list(page)).to_have_count(0)
    expect(node(page, "critic")).to_have_accessible_name("Critic, critic")
    add(page, "writer")
    connect(page, "critic", "writer")
    connect(page, "critic", "draft")
    expect(page.locator("#told")).to_contain_text("from Critic to Draft added, when revise")
    expect(page.get_by_label("When")).to_have_value("revise")
    drag(page, node(page, "writer").locator(".label"), by=(0, 90))
    document = kept(page)
    assert conditions(document) == [
        ("draft", "critic", None),
        ("critic", "writer", "approve"),
        ("critic", "draft", "revise"),
    ]
    places = [each["position"] for each in document["nodes"]]
    assert [place["x"] for place in places] == sorted(place["x"] for place in places)
    assert places[0]["y"] == places[1]["y"] == 0
    assert places[2]["y"] > 80

    page.get_by_role("button", name="Undo").click()
    assert kept(page)["nodes"][2]["position"]["y"] == 0
    page.get_by_role("button", name="Redo").click()
    assert kept(page) == document

    page.get_by_label("Topic").fill("Is this any good?")
    page.get_by_role("button", name="Try it out").click()
    expect(page.locator("#trial-sentence")).to_contain_text("Approved by the critic")
    expect(node(page, "critic")).to_have_accessible_name("Critic, done")
    expect(page.locator("#canvas .words").filter(has_text="revise ×1")).to_be_visible()
    expect(page.locator("#trial-text")).not_to_be_empty()
    run = page.get_by_role("link", name="Open the run").get_attribute("href") or ""
    assert A_RUN.search(run)

    page.keyboard.press("Control+s")
    page.wait_for_url(A_BLUEPRINT)
    saved = stack.request("GET", f"/api/councils/{page.url.split('/')[-2]}").json()
    assert conditions(saved) == conditions(document)
    page.goto(stack.url + run)
    expect(page.locator("#sentence")).to_contain_text("Approved by the critic")


def test_a_fault_leads_to_its_place_and_is_gone_once_it_is_mended(page, stack):
    begin_loop(page, stack)
    page.get_by_role("button", name=re.compile("^Judge critic")).click()
    page.get_by_label("Score to reach").fill("eleven")
    expect(fault_list(page)).to_contain_text(["Correct the setting `threshold` of node judge"])
    page.get_by_role("button", name="Blueprint settings").click()
    page.keyboard.press("Control+s")

    expect(page.locator("#problem")).to_contain_text("Not saved: there is a fault.")
    expect(page.get_by_label("Score to reach")).to_be_focused()
    expect(page.get_by_label("Score to reach")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Score to reach").fill("9,5")
    expect(page.get_by_label("Score to reach")).not_to_have_attribute("aria-invalid", "true")
    expect(fault_list(page)).to_have_count(0)
    assert kept(page)["nodes"][1]["settings"] == {"threshold": 9.5}


def test_a_node_dragged_upon_another_lands_beside_it_and_the_others_stay(page, stack):
    begin_loop(page, stack)
    before = node(page, "author").bounding_box()
    drag(page, node(page, "last").locator(".label"), to=node(page, "judge").locator(".label"))
    document = kept(page)

    assert node(page, "author").bounding_box() == before
    judge, last = (each["position"] for each in document["nodes"][1:])
    assert abs(judge["x"] - last["x"]) >= 176 or abs(judge["y"] - last["y"]) >= 52
    page.get_by_role("button", name="Tidy up").click()
    assert all("position" not in each for each in kept(page)["nodes"])


# --- by keyboard -----------------------------------------------------------------------


def test_a_council_is_made_by_the_form_and_the_keys_alone(page, stack):
    begin(page, stack)
    page.get_by_label("Kind of the new node").focus()
    page.keyboard.type("critic")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#told")).to_have_text("Critic added")
    page.get_by_role("button", name="Draft draft").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#panel-heading")).to_be_focused()

    node(page, "draft").press("c")
    expect(page.get_by_label("Connect to")).to_be_focused()
    page.keyboard.type("Critic")
    page.keyboard.press("Enter")
    expect(page.locator("#told")).to_have_text("edge from Draft to Critic added")
    page.keyboard.press("Escape")
    expect(node(page, "draft")).to_be_focused()
    page.keyboard.press("n")
    expect(node(page, "critic")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("c")
    page.keyboard.type("Draft")
    page.keyboard.press("Enter")
    document = kept(page)
    assert conditions(document)[1] == ("critic", "draft", "revise")
    assert document["nodes"][1]["position"]["y"] == 28

    page.keyboard.press("Control+z")
    expect(page.locator("#told")).to_contain_text("Undone: edge from Critic to Draft added")
    page.keyboard.press("Control+z")
    expect(page.locator("#told")).to_have_text("Undone: Critic moved")
    assert kept(page)["nodes"][1]["position"]["y"] == 0
    page.keyboard.press("Control+Shift+z")
    page.keyboard.press("Control+Shift+z")
    assert kept(page) == document

    page.get_by_role("button", name="Critic → Draft revise").focus()
    page.keyboard.press("Delete")
    expect(page.locator("#told")).to_have_text("edge from Critic to Draft removed")
    assert [edge["target"] for edge in kept(page)["edges"]] == ["critic"]


def test_what_is_typed_in_one_field_is_one_step_and_an_id_takes_its_edges_along(page, stack):
    begin_loop(page, stack)
    page.get_by_role("button", name=re.compile("^Judge critic")).press("Enter")
    page.get_by_label("Label").fill("")
    page.get_by_label("Label").press_sequentially("Reader")
    page.get_by_label("Id").fill("author")
    page.get_by_label("Id").press("Enter")
    expect(page.locator("#field-id-fault")).to_contain_text("Another node has this id")
    page.get_by_label("Id").fill("reader")
    page.keyboard.press("Tab")
    expect(page.locator("#panel :focus")).to_have_count(1)
    document = kept(page)
    assert [each["id"] for each in document["nodes"]] == ["author", "reader", "last"]
    assert conditions(document) == [
        ("author", "reader", None),
        ("reader", "author", "revise"),
        ("reader", "last", "approve"),
    ]

    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    expect(page.get_by_label("Label")).to_have_value("Judge")
    assert kept(page) == LOOP


def test_what_is_being_typed_stays_when_the_server_answers_meanwhile(page, stack):
    begin_loop(page, stack)
    page.get_by_role("button", name=re.compile("^Judge critic")).press("Enter")
    page.get_by_label("Id").fill("rea")
    # Another field's change is kept and checked, and the form is drawn anew with the answer.
    page.evaluate(CHANGED_ELSEWHERE)
    assert kept(page)["nodes"][1]["label"] == "Other"
    page.get_by_label("Id").press("End")
    page.keyboard.type("der")
    page.keyboard.press("Tab")

    assert [each["id"] for each in kept(page)["nodes"]] == ["author", "reader", "last"]


CHANGED_ELSEWHERE = """() => {
    const label = document.getElementById("field-label");
    label.value = "Other";
    label.dispatchEvent(new Event("input", { bubbles: true }));
}"""


def test_a_count_of_calls_is_dropped_once_the_graph_is_another(page, stack):
    begin_loop(page, stack, calls={"least": 3, "most": 11})
    page.get_by_role("button", name=re.compile("^Judge critic")).press("Enter")
    page.get_by_label("Label").fill("Reader")
    page.keyboard.press("Tab")
    assert kept(page)["calls"] == {"least": 3, "most": 11}
    add(page, "draft")

    assert "calls" not in kept(page)
    page.keyboard.press("Control+z")
    assert kept(page)["calls"] == {"least": 3, "most": 11}


# --- nothing is lost -------------------------------------------------------------------


def test_a_reload_keeps_everything_also_what_the_server_has_not_got_yet(page, stack):
    begin_loop(page, stack)
    page.get_by_label("Name", exact=True).fill("Kept by the server")
    kept(page)
    page.route("**/document", lambda route: None)  # the server does not answer
    page.get_by_label("Good for").fill("Kept by the tab")
    expect(page.locator("#kept")).to_have_text("Keeping …")
    page.unroute("**/document")
    page.reload()

    expect(page.get_by_label("Name", exact=True)).to_have_value("Kept by the server")
    expect(page.get_by_label("Good for")).to_have_value("Kept by the tab")
    document = kept(page)
    assert (document["name"], document["goodFor"]) == ("Kept by the server", "Kept by the tab")


def test_a_server_that_is_away_is_named_and_tried_again(page, stack):
    begin_loop(page, stack)
    page.route("**/document", lambda route: route.abort())
    page.get_by_label("Name", exact=True).fill("Meanwhile")
    expect(page.locator("#kept")).to_contain_text("the server cannot be reached")
    page.keyboard.press("Control+s")
    expect(page.locator("#problem")).to_contain_text("Not saved: what you have drawn")
    page.unroute("**/document")

    assert kept(page)["name"] == "Meanwhile"


def test_of_two_tabs_neither_change_is_lost(windows, stack):
    one, other = windows(), windows()
    begin_loop(one, stack)
    other.goto(one.url)
    one.get_by_label("Name", exact=True).fill("Mine")
    kept(one)
    other.get_by_label("Name", exact=True).fill("Theirs")
    expect(other.locator("#choice")).to_contain_text("changed in another tab")
    other.get_by_role("button", name="Keep mine").click()
    assert kept(other)["name"] == "Theirs"
    other.get_by_role("button", name="Undo").click()
    assert kept(other)["name"] == "Mine"

    one.get_by_label("Name", exact=True).fill("Again")
    one.get_by_role("button", name="Take theirs").click()
    expect(one.get_by_label("Name", exact=True)).to_have_value("Mine")
    one.get_by_role("button", name="Undo").click()
    assert kept(one)["name"] == "Again"


def test_a_version_saved_meanwhile_is_not_overwritten_unasked(page, stack):
    made = stack.request("POST", "/api/councils/", json=LOOP).json()
    begin(page, stack, blueprint=made["id"])
    theirs = {**made, "name": "Theirs", "version_made_from": 1}
    stack.request("PUT", f"/api/councils/{made['id']}", json=theirs).raise_for_status()
    page.get_by_label("Name", exact=True).fill("Mine")
    page.get_by_role("button", name="Save as version").click()

    expect(page.locator("#choice")).to_contain_text("Version 2 was saved meanwhile")
    page.get_by_role("button", name="Save mine as version 3 after it").click()
    page.wait_for_url(A_BLUEPRINT)
    versions = [
        stack.request("GET", f"/api/councils/{made['id']}/versions/{number}").json()
        for number in (1, 2, 3)
    ]
    names = [each.get("document", each)["name"] for each in versions]
    assert names == ["A loop", "Theirs", "Mine"]


def test_what_is_imported_is_exported_again_with_all_that_nobody_knows(page, stack, tmp_path):
    begin(page, stack)
    strange = {**LOOP, "ours": {"deep": [1, None]}, "edges": [*LOOP["edges"]]}
    strange["nodes"] = [
        {**each, "colour": "red", "position": {"x": 7, "y": 1, "z": 3}}
        for each in LOOP["nodes"]
    ]
    (tmp_path / "a.json").write_text(json.dumps(strange))
    page.locator("#file").set_input_files(tmp_path / "a.json")
    expect(page.locator("#told")).to_have_text("a.json imported")
    page.get_by_role("button", name=re.compile("^Last writer")).click()
    page.get_by_label("Label").fill("The last")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    exported = json.loads(download.value.path().read_text())

    strange["nodes"][2]["label"] = "The last"
    assert exported == strange == kept(page)
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    assert [each["id"] for each in kept(page)["nodes"]] == ["draft"]


def test_discarding_is_asked_first(page, stack):
    begin_loop(page, stack)
    page.get_by_role("button", name="Discard …").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Discard …").click()
    address = page.url
    page.get_by_role("button", name="Discard it").click()

    page.wait_for_url(f"{stack.url}/blueprints/")
    assert page.request.get(address).status == 404


# --- harmless, and large ---------------------------------------------------------------


def test_hostile_names_are_shown_as_text_and_do_nothing(page, stack):
    nodes = [
        {"id": HOSTILE[:90], "label": HOSTILE, "kind": HOSTILE, "settings": {HOSTILE: HOSTILE}},
        {"id": 7, "label": {"a": 1}, "position": "here"},
        "no node",
        {"id": "last", "label": "Last", "kind": "writer"},
        {"id": "last", "label": "Twice", "kind": "writer"},
    ]
    edges = [
        {
            "id": HOSTILE,
            "source": HOSTILE[:90],
            "target": "last",
            "type": "conditional",
            "condition": HOSTILE,
        },
        {"source": "last", "target": HOSTILE[:90], "type": 3},
        None,
    ]
    begin(page, stack, document=json.dumps({"name": HOSTILE, "nodes": nodes, "edges": edges}))
    for button in page.locator(".part").all():
        button.click()
        expect(page.locator("#panel-heading")).to_be_focused()
    page.locator("#nodes button").nth(1).press("Delete")

    assert len(kept(page)["nodes"]) == 4
    assert page.locator("main img, main iframe").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_sixty_nodes_are_dragged_without_drawing_the_others(page, stack):
    nodes = [
        {
            "id": f"n{at}",
            "kind": "answer",
            "entry": at == 0,
            "position": {"x": at % 10 * 288, "y": at // 10 * 84},
        }
        for at in range(60)
    ]
    edges = [
        {"id": f"e{at}", "source": f"n{at}", "target": f"n{at + 1}", "type": "linear"}
        for at in range(59)
    ]
    begin(page, stack, document=json.dumps({"name": "Many", "nodes": nodes, "edges": edges}))
    node(page, "n11").click()
    page.evaluate(
        """() => {
          window.changed = new Set();
          new MutationObserver((all) => all.forEach(({ target }) => {
            const part = target.closest('[data-key], [data-edge]');
            if (part) window.changed.add(part.dataset.key ?? part.dataset.edge);
          })).observe(document.querySelector('#canvas .graph'),
            { subtree: true, attributes: true, childList: true });
        }"""
    )
    drag(page, node(page, "n11").locator(".label"), by=(12, 120))

    assert {"e10", "e11", "n11"} >= set(page.evaluate("[...window.changed]"))
    assert kept(page)["nodes"][11]["position"] != nodes[11]["position"]
