// The picture of the council: nodes with their state by shape, word and colour, edges with how
// often they were taken.

import { HEIGHT, WIDTH, drawing } from "../drawing/geometry.js";
import { LABEL, WORD, fit, set, svg, write } from "../drawing/svg.js";
import { lookOfNode, openGates } from "./reading.js";

const SMALLEST = 0.75; // of what it is meant to be: smaller nobody can read it, and one scrolls

export class Graph {
  constructor(page) {
    this.page = page;
    this.home = document.getElementById("graph");
    new ResizeObserver(() => this.#resize()).observe(this.home);
  }

  #resize() {
    const room = this.home.clientWidth;
    if (!room || room === this.room) return;
    this.room = room;
    this.#build(drawing(this.page.about.plan, room));
    if (this.last) this.draw(...this.last);
  }

  #build(drawn) {
    const { plan } = this.page.about;
    const { width, height } = drawn;
    this.edges = plan.edges.map((edge) => new Edge(edge, drawn.edge(edge)));
    this.nodes = plan.nodes.map((node) => new Node(node, drawn.corner(node.id), this.page));
    const entries = plan.entries.map((id) => drawn.entry(id));
    const picture = svg(
      "svg",
      { class: "graph", role: "group", "aria-label": plan.name, viewBox: `0 0 ${width} ${height}`, width, height },
      ...entries.map(({ path, head }) => svg("g", { class: "edge" }, svg("path", { d: path }), svg("path", { class: "head", d: head }))),
      ...this.edges.map(({ line }) => line),
      ...this.nodes.map(({ group }) => group),
      ...this.edges.map(({ words }) => words),
    );
    picture.style.minWidth = `${Math.round(width * SMALLEST)}px`;
    this.home.replaceChildren(picture);
  }

  draw(state, selected) {
    this.last = [state, selected];
    if (!this.nodes) return;
    for (const edge of this.edges) edge.draw(state);
    for (const node of this.nodes) node.draw(state, selected);
  }
}

class Edge {
  constructor(edge, { path, head, words }) {
    this.edge = edge;
    this.line = svg("g", { class: "edge" }, svg("path", { d: path }), svg("path", { class: "head", d: head }));
    const { x, y, anchor } = words;
    this.words = svg("text", { class: "words", x, y, "text-anchor": anchor });
  }

  draw(state) {
    const { times } = state.edges[this.edge.id];
    set(this.line, "class", times ? "edge taken" : "edge");
    const { condition } = this.edge;
    // Of an edge without words its line says that it was taken once.
    const often = times > 1 || (times && condition) ? `×${times}` : "";
    write(this.words, [condition && fit(condition, 74, WORD), often].filter(Boolean).join(" "));
  }
}

class Node {
  constructor(node, [x, y], page) {
    this.id = node.id;
    this.node = node;
    this.shape = svg("use", { x: 10, y: 28, width: 14, height: 14 });
    this.word = svg("text", { class: "word", x: 29, y: 39 });
    this.round = svg("text", { y: 1, "text-anchor": "middle" });
    this.badge = svg("g", { class: "badge" }, svg("rect", { y: -11, height: 16, rx: 8 }), this.round);
    this.title = svg("title");
    this.group = svg(
      "g",
      { class: "node", transform: `translate(${x} ${y})`, role: "button", tabindex: 0 },
      this.title,
      svg("rect", { width: WIDTH, height: HEIGHT, rx: 4 }),
      svg("text", { class: "label", x: 10, y: 20 }, fit(node.label, WIDTH - 18, LABEL)),
      this.shape,
      this.word,
      this.badge,
    );
    const choose = () => this.newest && page.select(page.selected === this.newest ? null : this.newest);
    this.group.addEventListener("click", choose);
    this.group.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose();
    });
  }

  draw(state, selected) {
    const { shape, colour, word } = lookOfNode(state, this.id);
    const last = state.steps.findLast((step) => step.node === this.id);
    this.newest = last?.id;
    const round = last?.iteration ? `round ${last.iteration}` : "";
    const isAsked = openGates(state).some((gate) => gate.node === this.id);
    set(this.group, "data-state", colour);
    set(this.group, "data-shape", shape);
    set(this.shape, "href", `#shape-${shape}`);
    write(this.word, fit(word, WIDTH - 33, WORD));
    write(this.round, round);
    set(this.badge, "visibility", round ? "visible" : "hidden");
    const width = round.length * 6 + 12;
    set(this.badge.firstChild, "width", width);
    set(this.badge.firstChild, "x", WIDTH - 4 - width);
    set(this.round, "x", WIDTH - 4 - width / 2);
    set(this.group, "aria-pressed", selected?.node === this.id);
    set(this.group, "aria-label", [this.node.label, word, round, isAsked ? "waits at a gate" : ""].filter(Boolean).join(", "));
    write(this.title, `${this.node.label} (${this.node.kind}): ${word}`);
  }
}
