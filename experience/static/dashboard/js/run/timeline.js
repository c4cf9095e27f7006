// The time: one lane for each node, a bar for each of its steps, gates across all lanes.

import { axis, time } from "./axis.js";
import { hasEnded, lookOfStep, nodeOf, title } from "./reading.js";
import { duration, whole } from "./words.js";

export class Timeline {
  constructor(page) {
    this.page = page;
    this.home = document.getElementById("timeline");
    this.tracks = new Map();
    this.bars = new Map();
    this.marks = new Map();
    this.home.className = "timeline";
    this.home.setAttribute("role", "img");
    const lanes = this.home.appendChild(element("div", "lanes"));
    lanes.append(...page.about.plan.nodes.map((node) => this.#lane(node)));
    this.over = lanes.appendChild(element("div", "over"));
    this.scale = this.home.appendChild(element("p", "scale grey"));
    this.scale.dataset.clock = "";
  }

  #lane({ id, label }) {
    const lane = element("div", "lane");
    const track = element("div", "track");
    this.tracks.set(id, track);
    lane.append(element("span", "name", label), track);
    return lane;
  }

  draw(state, selected) {
    this.home.parentElement.hidden = !state.createdAt;
    if (!state.createdAt) return;
    const count = state.steps.length;
    this.home.setAttribute("aria-label", `${count} ${count === 1 ? "step" : "steps"} by time; the list of steps says the same.`);
    for (const step of state.steps) if (step.startedAt) this.#bar(state, step, selected);
    this.tick(state);
  }

  tick(state) {
    if (!state.createdAt) return;
    const now = this.page.now();
    const scaled = axis(state, now);
    for (const step of state.steps) {
      const bar = this.bars.get(step.id);
      if (!bar) continue;
      const [from, to] = [time(step.startedAt), time(step.endedAt) ?? now];
      place(bar, scaled, from, to);
      bar.style.setProperty("--waited", `${(100 * waited(step, from, to)).toFixed(2)}%`);
    }
    this.#gates(state, scaled, now);
    const total = (hasEnded(state) ? duration : whole)(scaled.to - scaled.from);
    const shorter = scaled.waits.length ? "; waiting is drawn shorter than it was" : "";
    this.scale.textContent = `hollow: until the first word · 0 … ${total}${shorter}`;
  }

  #bar(state, step, selected) {
    let bar = this.bars.get(step.id);
    if (!bar) {
      bar = element("div", "bar-of-time");
      bar.addEventListener("click", () => this.page.select(step.id));
      this.tracks.get(step.node)?.append(bar);
      this.bars.set(step.id, bar);
    }
    bar.toggleAttribute("data-selected", step.id === selected?.id);
    if (bar.step === step) return;
    bar.step = step;
    const { colour, word } = lookOfStep(step);
    bar.dataset.state = colour;
    const took = step.took === undefined ? "" : `, ${duration(step.took)}`;
    bar.title = `${nodeOf(state, step.node).label}: ${title(step)}, ${word}${took}`;
  }

  #gates(state, scaled, now) {
    for (const gate of state.gates) {
      let mark = this.marks.get(gate.id);
      if (!mark) {
        mark = this.over.appendChild(element("div", "gate-of-time"));
        this.marks.set(gate.id, mark);
      }
      const [from, to] = [time(gate.openedAt), time(gate.answeredAt) ?? (hasEnded(state) ? scaled.to : now)];
      place(mark, scaled, from, to);
      mark.title = gate.action ? `Gate: ${gate.action} by ${gate.by} after ${whole(to - from)}` : `Gate: waiting for ${whole(to - from)}`;
    }
  }
}

/** The share of a step in which its model had not said anything yet. */
function waited(step, from, to) {
  if (to <= from) return 0;
  if (step.waited !== undefined) return step.waited === null ? 0 : Math.min(1, step.waited / (to - from));
  if (step.state !== "working") return 0;
  return step.firstAt ? (time(step.firstAt) - from) / (to - from) : 1;
}

function place(bar, scaled, from, to) {
  const left = 100 * scaled.at(from);
  bar.style.left = `${left.toFixed(3)}%`;
  bar.style.width = `${(100 * scaled.at(to) - left).toFixed(3)}%`;
}

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}
