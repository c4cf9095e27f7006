// What is happening, in one sentence, with its shape, and what it has taken so far in figures.

import { hasEnded, rounds } from "./reading.js";
import { sentence, since } from "./sentence.js";
import { count, money, whole } from "./words.js";

const SHAPES = { pending: "waiting", running: "working", paused: "asks", completed: "done", failed: "failed", cancelled: "stopped" };

export class Now {
  constructor(page) {
    this.page = page;
    this.sentence = document.getElementById("sentence");
    this.shape = document.getElementById("shape");
    this.clock = document.getElementById("clock");
    this.figures = document.getElementById("figures");
  }

  draw(state) {
    // The end is told by the server, in `result.js`.
    write(this.sentence, sentence(state, this.page.about.mine));
    const shape = state.end?.approved === false ? "stopped" : SHAPES[state.status];
    this.shape.firstElementChild.setAttribute("href", `#shape-${shape}`);
    this.shape.parentElement.dataset.state = shape;
    this.#figures(figures(state, this.page.about));
    this.tick(state);
  }

  tick(state) {
    const from = since(state);
    write(this.clock, from ? `for ${whole(this.page.now() - Date.parse(from))}` : "");
  }

  #figures(told) {
    const list = this.figures;
    while (list.children.length > told.length) list.lastElementChild.remove();
    told.forEach((text, number) => write(list.children[number] ?? list.appendChild(document.createElement("li")), text));
  }
}

function write(element, text) {
  if (text !== null && element.textContent !== text) element.textContent = text;
}

function figures(state, { plan }) {
  const told = hasEnded(state) ? [] : spent(state, plan); // in the end the server says what it took
  if (state.interruptions) told.push(`interrupted ${times(state.interruptions)}`);
  if (state.retries) told.push(`retried ${times(state.retries)}`);
  return told;
}

function spent(state, plan) {
  const { calls, input, output, cost, scripted } = state.usage;
  const { limits } = state;
  const done = rounds(state);
  const of = (most, write) => (most ? ` of ${write(most)}` : "");
  const told = [];
  if (done) told.push(plan.rounds ? `round ${done} of ${plan.rounds} at most` : `round ${done}`);
  if (limits.calls) told.push(`${calls}${of(limits.calls, count)} calls`);
  if (calls) told.push(`${count(input === null || output === null ? null : input + output)}${of(limits.tokens, count)} tokens`);
  if (calls) told.push(`${cost === null ? "cost unknown" : money(cost)}${of(limits.cost, money)}`);
  if (scripted) told.push("scripted demo model");
  return told;
}

function times(number) {
  return number === 1 ? "once" : `${number} times`;
}
