// The text: of the step that was chosen, or of those at work, as it is written; and below it every
// step, the newest first. A finished step's text comes from the server, as harmless HTML.

import { fragment } from "./fragment.js";
import { followed, hasEnded, lookOfStep, nodeOf, openGates, title, where } from "./reading.js";
import { Stream } from "./stream.js";
import { count, duration, interruption, money, score } from "./words.js";

export class Text {
  constructor(page) {
    this.page = page;
    this.stage = document.getElementById("stage");
    this.list = document.getElementById("steps");
    this.panels = new Map();
    this.rows = new Map();
    this.follow = document.getElementById("follow");
    this.follow.addEventListener("click", () => page.select(null));
  }

  draw(state, selected) {
    const held = this.clicked?.getBoundingClientRect().top;
    this.#draw(state, selected);
    // The row that was clicked stays under the pointer, whatever opened above it.
    if (this.clicked) window.scrollBy(0, this.clicked.getBoundingClientRect().top - held);
    this.clicked = null;
  }

  #draw(state, selected) {
    const isAsked = openGates(state).length > 0 && !selected;
    const ended = hasEnded(state) && !selected && state.status === "completed";
    this.#panels(state, selected ? [selected] : isAsked || ended ? [] : followed(state));
    this.stage.hidden = (isAsked || ended) && !selected;
    this.stage.dataset.many = this.panels.size > 1;
    this.#rows(state, selected);
    this.follow.hidden = !selected;
    this.follow.textContent = hasEnded(state) ? "Close the step" : "Follow the newest";
  }

  #panels(state, steps) {
    for (const [id, panel] of this.panels) {
      if (steps.some((step) => step.id === id)) continue;
      panel.section.remove();
      this.panels.delete(id);
    }
    for (const step of steps) {
      if (!this.panels.has(step.id)) this.panels.set(step.id, new Panel(this.stage, state, step));
      this.panels.get(step.id).draw(step);
    }
  }

  #rows(state, selected) {
    this.list.start = state.order.length;
    const steps = new Map(state.steps.map((step) => [step.id, step]));
    for (const { step: id, gate } of state.order) {
      if (gate) {
        this.#answer(state, gate);
        continue;
      }
      const step = steps.get(id);
      const row = this.rows.get(id);
      if (row?.step !== step) this.#row(state, step, row);
      const isSelected = step.id === selected?.id;
      const button = this.rows.get(step.id).button;
      if ((button.getAttribute("aria-current") === "true") !== isSelected) {
        button.toggleAttribute("aria-current", isSelected);
        if (isSelected) button.setAttribute("aria-current", "true");
      }
    }
    if (selected && this.shown !== selected.id) this.rows.get(selected.id).item.scrollIntoView({ block: "nearest" });
    this.shown = selected?.id;
  }

  #row(state, step, known) {
    const row = known ?? this.#newRow(step);
    const told = [lookOfStep(step), figures(step)];
    row.step = step;
    const key = JSON.stringify(told);
    if (row.key === key) return;
    row.key = key;
    const [{ shape, colour, word }, figure] = told;
    row.button.replaceChildren(
      stateOf(shape, colour, word),
      span("what", `${nodeOf(state, step.node).label} · ${title(step)}`),
      span("much", figure),
    );
  }

  /** How a person, or a deadline, has answered a gate. */
  #answer(state, id) {
    const gate = state.gates.find((each) => each.id === id);
    if (!gate || this.rows.has(id)) return;
    const item = document.createElement("li");
    const row = document.createElement("div");
    row.className = "step answer-at-gate";
    row.append(stateOf("asks", "asks", DONE[gate.action] ?? gate.action), span("what", `${where(state, gate)} · by ${gate.by}`));
    for (const text of remarks(state, gate.said)) row.append(span("remark", text));
    item.append(row);
    this.list.prepend(item);
    this.rows.set(id, { item });
  }

  #newRow(step) {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.className = "step";
    button.type = "button";
    button.addEventListener("click", () => {
      this.clicked = button;
      this.page.select(this.page.selected === step.id ? null : step.id);
    });
    item.append(button);
    this.list.prepend(item);
    const row = { item, button };
    this.rows.set(step.id, row);
    return row;
  }
}

const DONE = { approve: "approved", modify: "changed", reject: "rejected" };

/** What was said beside an answer. */
function* remarks(state, { current_draft: draft, feedback, comment, next_node: to }) {
  if (draft !== undefined) yield "The draft was changed.";
  if (to) yield `Sent to ${nodeOf(state, to).label}.`;
  if (feedback || comment) yield `“${feedback || comment}”`;
}

function figures(step) {
  const told = [];
  if (step.reused) told.push("reused");
  if (typeof step.score === "number") told.push(`${score(step.score)} / 10`);
  if (step.took !== undefined) told.push(duration(step.took));
  if (step.usage?.calls) {
    const { input_tokens: input, output_tokens: output, cost } = step.usage;
    told.push(`${count(input === null || output === null ? null : input + output)} tokens`);
    told.push(cost === null ? "cost unknown" : money(cost));
  }
  return told.join(" · ");
}

/** One step on the stage: what it has said so far, and in the end what the server makes of it. */
class Panel {
  constructor(stage, state, step) {
    this.section = document.createElement("article");
    this.section.className = "panel";
    this.head = document.createElement("header");
    this.body = document.createElement("div");
    this.body.className = "panel-body";
    this.body.tabIndex = 0;
    this.body.setAttribute("role", "region");
    const name = `${nodeOf(state, step.node).label} · ${title(step)}`;
    this.body.setAttribute("aria-label", name);
    this.name = span("what", name);
    this.section.append(this.head, this.body);
    stage.append(this.section);
    this.stream = new Stream(this.section, this.body);
  }

  draw(step) {
    const { shape, colour, word } = lookOfStep(step);
    if (this.word !== word) {
      this.head.replaceChildren(this.name, stateOf(shape, colour, word));
      this.word = word;
    }
    if (step.result) this.#fetch(step);
    else this.stream.draw(step, note(step));
  }

  async #fetch(step) {
    if (this.result === step.result) return;
    this.result = step.result;
    const found = await fragment(`steps/${step.result}/`);
    this.stream.end();
    this.body.replaceChildren(...found.childNodes);
    const input = this.body.querySelector("[data-input]");
    input?.addEventListener("toggle", () => this.#ask(step, input), { once: true });
  }

  /** What it was asked is put together only for those who look. */
  async #ask(step, input) {
    const found = await fragment(`steps/${step.result}/input/`);
    input.querySelector(".asked").replaceChildren(...found.childNodes);
  }
}

/** What is said of a step that has no text of its own. */
function note(step) {
  if (step.limit) return `It was stopped at the ${step.limit.replaceAll("_", " ")}.`;
  if (step.state === "failed") return step.trouble;
  if (step.state === "interrupted") return `It was broken off, for ${interruption(step.cause)}. What was written is void; the step was begun anew.`;
  if (step.trouble) return `${step.trouble} Trying again.`;
  if (step.state === "stopped") return step.text ? "" : "It was stopped before it had written anything.";
  return step.text ? "" : "Waiting for the first word …";
}

function span(name, text) {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}

function stateOf(shape, colour, word) {
  const made = span("state", word);
  made.dataset.state = colour;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "shape");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS("http://www.w3.org/2000/svg", "use"));
  svg.firstChild.setAttribute("href", `#shape-${shape}`);
  made.prepend(svg);
  return made;
}
