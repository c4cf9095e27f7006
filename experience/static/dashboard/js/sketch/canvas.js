// The canvas: the same drawing as on the page of a run, to be worked on. Only what has changed
// is drawn anew.

import { HEIGHT, WIDTH } from "../drawing/geometry.js";
import { LABEL, WORD, cut, fit, set, svg, write } from "../drawing/svg.js";
import { called, kindOf, read } from "./document.js";
import { ends, words } from "./picture.js";

const ROOM = 48; // around everything, in pixels
const NEAR = 24; // what is kept in view has this much around it

export class Canvas {
  constructor(editor) {
    this.editor = editor;
    this.home = document.getElementById("canvas");
    this.nodes = new Map();
    this.edges = new Map();
    this.entries = new Map();
    const layer = (name) => svg("g", { class: name });
    this.layers = { entries: layer("entries"), edges: layer("edges"), nodes: layer("nodes"), words: layer("words-of-edges"), over: layer("over") };
    this.svg = svg("svg", { class: "graph", role: "group", "aria-label": "Drawing", tabindex: -1 }, ...Object.values(this.layers));
    this.home.append(this.svg);
    new ResizeObserver(() => this.#frame()).observe(this.home);
  }

  draw() {
    const { editor } = this;
    const { document, picture } = editor;
    const { edges, entries, geometry } = picture.draw(document);
    this.geometry = geometry;
    const { nodes } = read(document);
    const focusable = editor.selected?.part === "node" ? editor.selected.key : nodes[0]?.key;
    keep(this.nodes, nodes.map(({ key }) => key), (key) => new Node(key, this.layers.nodes));
    keep(this.edges, edges.map(({ key }) => key), (key) => new Edge(key, this.layers));
    keep(this.entries, entries, () => new Line(this.layers.entries));
    for (const node of nodes) this.nodes.get(node.key).draw(editor, node, geometry.corner(node.key), node.key === focusable);
    for (const edge of edges) this.edges.get(edge.key).draw(editor, edge, geometry.edge(edge.route));
    for (const id of entries) this.entries.get(id).draw(geometry.entry(id));
    this.#frame();
  }

  /** Show the drawing from its beginning. */
  fit() {
    this.box = null;
    this.#frame();
    const [first] = this.entries.keys();
    const [, y] = first === undefined ? [0, 0] : this.geometry.corner(first);
    this.home.scrollTo({ left: 0, top: Math.max(0, y - this.box.top - this.home.clientHeight / 2), behavior: "instant" });
  }

  // What there is to scroll over only grows, and what is seen stays where it is.
  #frame() {
    if (!this.geometry) return;
    const corners = [...this.nodes.keys()].map((key) => this.geometry.corner(key));
    const { clientWidth: wide, clientHeight: high } = this.home;
    const least = [0, 1].map((axis) => Math.min(0, ...corners.map((corner) => corner[axis])));
    const most = [this.geometry.width, this.geometry.height];
    const now = this.box ?? this.#first(corners, most, wide, high);
    const left = Math.min(now.left, least[0] - ROOM);
    const top = Math.min(now.top, least[1] - ROOM);
    const right = Math.max(now.right, most[0] + ROOM, left + wide);
    const bottom = Math.max(now.bottom, most[1] + ROOM, top + high);
    const moved = [now.left - left, now.top - top];
    this.box = { left, top, right, bottom };
    set(this.svg, "viewBox", `${left} ${top} ${right - left} ${bottom - top}`);
    set(this.svg, "width", right - left);
    set(this.svg, "height", bottom - top);
    if (moved[0] || moved[1]) this.home.scrollBy({ left: moved[0], top: moved[1], behavior: "instant" });
  }

  /** At first what is small stands in the middle. */
  #first(corners, most, wide, high) {
    const left = Math.min(0, ...corners.map(([x]) => x)) - ROOM;
    const top = Math.min(...corners.map(([, y]) => y), 0);
    const free = Math.max(0, high - (most[1] - top));
    const aside = Math.max(0, wide - (most[0] - left) - ROOM);
    return { left: left - aside / 2, top: top - Math.max(ROOM, free / 2), right: 0, bottom: 0 };
  }

  /** The point of the drawing below a point of the window. */
  point({ clientX, clientY }) {
    const { left, top } = this.svg.getBoundingClientRect();
    return [clientX - left + this.box.left, clientY - top + this.box.top];
  }

  keepInView(key) {
    if (!this.nodes.has(key)) return;
    const [x, y] = this.geometry.corner(key);
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.home;
    const by = (start, length, seen, room) => Math.min(0, start - NEAR - seen) || Math.max(0, start + length + NEAR - seen - room);
    const left = by(x - this.box.left, WIDTH, scrollLeft, clientWidth);
    const top = by(y - this.box.top, HEIGHT, scrollTop, clientHeight);
    if (left || top) this.home.scrollBy({ left, top, behavior: "instant" });
  }

  focus({ part, key }) {
    (part === "node" ? this.nodes : this.edges).get(key)?.group.focus({ preventScroll: true });
    if (part === "node") this.keepInView(key);
  }

  /** The line that is being drawn from a handle to a point; null: none. */
  lead(key, point) {
    if (!key) {
      this.layers.over.replaceChildren();
      return;
    }
    const [x, y] = this.geometry.corner(key);
    const path = `M${x + WIDTH} ${y + HEIGHT / 2}L${point.join(" ")}`;
    if (!this.layers.over.firstChild) this.layers.over.append(svg("path", { class: "leading" }));
    set(this.layers.over.firstChild, "d", path);
  }
}

/** Exactly these, in their order; what is there stays what it is. */
function keep(made, keys, make) {
  const wanted = new Set(keys);
  for (const [key, each] of made) {
    if (wanted.has(key)) continue;
    each.remove();
    made.delete(key);
  }
  for (const key of keys) if (!made.has(key)) made.set(key, make(key));
}

class Node {
  constructor(key, layer) {
    this.title = svg("title");
    this.label = svg("text", { class: "label", x: 10, y: 20 });
    this.shape = svg("use", { x: 10, y: 28, width: 14, height: 14 });
    this.word = svg("text", { class: "word", y: 39 });
    this.fault = svg("text", { y: 1, x: 22 });
    this.badge = svg("g", { class: "badge" }, svg("rect", { y: -11, height: 16, rx: 8, width: 60 }), svg("use", { href: "#shape-failed", x: 7, y: -8, width: 10, height: 10 }), this.fault);
    this.gates = ["before", "after"].map((place) => svg("use", {
      class: "gate-mark", href: "#shape-asks", x: place === "before" ? WIDTH - 44 : WIDTH - 24, y: 29, width: 12, height: 12,
    }));
    this.handle = svg("g", { class: "handle" },
      svg("circle", { class: "reach", cx: WIDTH, cy: HEIGHT / 2, r: 15 }),
      svg("circle", { class: "dot", cx: WIDTH, cy: HEIGHT / 2, r: 5 }));
    this.group = svg("g", { class: "node", role: "button" }, this.title,
      svg("rect", { class: "ring", x: -5, y: -5, width: WIDTH + 10, height: HEIGHT + 10, rx: 7 }), svg("rect", { class: "box", width: WIDTH, height: HEIGHT, rx: 4 }), this.label, this.shape, this.word, ...this.gates, this.badge, this.handle);
    this.group.dataset.key = key;
    layer.append(this.group);
  }

  remove() {
    this.group.remove();
  }

  draw(editor, node, [x, y], isFocusable) {
    const faults = editor.faults.of("node", node.key).length;
    const isSelected = editor.isSelected("node", node.key);
    const name = called(node);
    const kind = kindOf(editor.document, node);
    const look = editor.trial?.look(node.id) ?? null;
    set(this.group, "transform", `translate(${x} ${y})`);
    set(this.group, "data-state", look?.colour ?? "");
    set(this.group, "data-shape", look?.shape ?? "");
    set(this.group, "tabindex", isFocusable ? 0 : -1);
    set(this.group, "aria-pressed", isSelected);
    set(this.group, "class", faults ? "node faulty" : "node");
    set(this.shape, "href", look ? `#shape-${look.shape}` : "");
    set(this.shape, "visibility", look ? "visible" : "hidden");
    set(this.word, "x", look ? 29 : 10);
    write(this.label, fit(name, WIDTH - 18, LABEL));
    write(this.word, fit(look ? look.word : kind, WIDTH - (look ? 76 : 58), WORD));
    this.#gates(node);
    set(this.badge, "visibility", faults ? "visible" : "hidden");
    const told = faults === 1 ? "1 fault" : `${faults} faults`;
    write(this.fault, faults ? told : "");
    set(this.badge.firstChild, "width", told.length * 6 + 28);
    set(this.badge, "transform", `translate(${WIDTH - told.length * 6 - 32} 0)`);
    set(this.group, "aria-label", [name, look ? look.word : kind, faults ? told : ""].filter(Boolean).join(", ").slice(0, 300));
    write(this.title, `${cut(name, 200)} (${cut(kind, 60)})`);
  }

  #gates({ raw }) {
    ["gateBefore", "gateAfter"].forEach((gate, number) => {
      const has = raw.settings?.[gate] !== undefined && raw.settings?.[gate] !== null;
      set(this.gates[number], "visibility", has ? "visible" : "hidden");
    });
  }
}

class Line {
  constructor(layer) {
    this.path = svg("path", { class: "way" });
    this.head = svg("path", { class: "head" });
    this.group = svg("g", { class: "edge" }, this.path, this.head);
    layer.append(this.group);
  }

  remove() {
    this.group.remove();
  }

  draw({ path, head }) {
    set(this.path, "d", path);
    set(this.head, "d", head);
  }
}

class Edge extends Line {
  constructor(key, layers) {
    super(layers.edges);
    this.reach = svg("path", { class: "reach" });
    this.title = svg("title");
    this.mark = svg("use", { class: "mark", href: "#shape-failed", width: 10, height: 10 });
    this.words = svg("text", { class: "words" });
    this.group.prepend(this.title, this.reach);
    this.label = svg("g", { class: "edge-label" }, this.words, this.mark);
    set(this.group, "role", "button");
    set(this.group, "tabindex", -1);
    this.group.dataset.edge = key;
    this.label.dataset.edge = key;
    layers.words.append(this.label);
  }

  remove() {
    super.remove();
    this.label.remove();
  }

  draw(editor, edge, drawn) {
    super.draw(drawn);
    set(this.reach, "d", drawn.path);
    const isSelected = editor.isSelected("edge", edge.key);
    const faults = editor.faults.of("edge", edge.key).length;
    const [from, to] = ends(editor.document, edge).map((name) => cut(name, 60));
    const times = editor.trial?.times(edge.id) ?? 0;
    set(this.group, "class", ["edge", faults && "faulty", times && "taken"].filter(Boolean).join(" "));
    set(this.label, "class", faults ? "edge-label faulty" : "edge-label");
    set(this.group, "aria-pressed", isSelected);
    set(this.label, "data-selected", isSelected);
    const said = words(edge);
    write(this.words, [fit(said, 74, WORD), times > 1 || (times && said) ? `×${times}` : "", faults && !said ? "fault" : ""].filter(Boolean).join(" "));
    set(this.group, "aria-label", `Edge from ${from} to ${to}${said ? `, ${cut(said, 60)}` : ""}${faults ? ", fault" : ""}`);
    write(this.title, said ? `${from} → ${to}: ${cut(said, 60)}` : `${from} → ${to}`);
    const { x, y, anchor } = drawn.words;
    set(this.words, "x", x);
    set(this.words, "y", y);
    set(this.words, "text-anchor", anchor);
    set(this.mark, "visibility", faults ? "visible" : "hidden");
    set(this.mark, "x", x - this.words.textContent.length * 3.3 - 13);
    set(this.mark, "y", y - 9);
  }
}
