// The form: the settings of what is selected, or of the blueprint itself. What it has no field
// for stays in the document as it is.

import { at, called, find, isObject, kindOf, put, read, same } from "./document.js";
import { edgeForm } from "./edge_form.js";
import { field, make } from "./fields.js";
import { GATES, nodeForm } from "./node_form.js";
import { ends, words } from "./picture.js";
import { name, written } from "./say.js";
import { fields as fieldsOf } from "./schema.js";

export class Panel {
  constructor(editor) {
    this.editor = editor;
    this.home = document.getElementById("panel");
    const { kinds, limits } = editor.about;
    this.kinds = new Map(kinds.map((kind) => [kind.name, { ...kind, fields: fieldsOf(kind.schema) }]));
    this.limits = fieldsOf(limits).map((spec) => (spec.name === "atLimit" ? { ...spec, label: "At a limit" } : spec));
    // What every kind has stands folded; what a kind has of its own does not.
    const all = [...this.kinds.values()].map((kind) => kind.fields.map((each) => each.name));
    this.common = new Set((all[0] ?? []).filter((each) => all.every((names) => names.includes(each))));
    this.home.addEventListener("focusout", () => editor.history.seal());
    this.left = ""; // the field that Tab is just leaving
    this.home.addEventListener("keydown", (event) => {
      if (event.key === "Tab") {
        this.left = event.target.id;
        setTimeout(() => { this.left = ""; });
      }
      if (event.key !== "Escape") return;
      const { selected } = editor;
      if (selected) editor.canvas.focus(selected);
    });
  }

  /** The cursor into a field, by its path; without one onto the heading. */
  focus(path) {
    if (path === "connect" && this.connecting) {
      this.connecting.focus();
      return;
    }
    const found = path && this.#fieldOf(path);
    if (found) found.focus();
    else this.heading.focus();
    this.heading.scrollIntoView({ block: "nearest" });
  }

  #fieldOf(path) {
    return this.fields.filter(({ name: own }) => path === own || path.startsWith(`${own}.`)).sort((one, other) => other.name.length - one.name.length)[0];
  }

  draw() {
    const { editor } = this;
    const part = find(editor.document, editor.selected);
    const shape = JSON.stringify(this.#shape(part));
    if (shape !== this.shape) {
      this.shape = shape;
      this.#build(part);
    }
    for (const { name: path, show } of this.shown) show(at(editor.document, path));
    this.#faults();
    this.#title(part);
  }

  /** What, when it changes, asks for other fields. */
  #shape(part) {
    const { document, selected } = this.editor;
    if (!part) return ["blueprint", Object.keys(isObject(document.limits) ? document.limits : {}).filter((each) => !this.limits.some((one) => one.name === each))];
    const nodes = read(document).nodes.map((node) => [node.key, node.key === part.key && selected.part === "node" ? "" : called(node)]);
    if (selected.part === "edge") return ["edge", part.index, nodes, this.decides(part.raw.source), part.raw.type, this.#endsKnown(part)];
    const settings = isObject(part.raw.settings) ? part.raw.settings : {};
    return ["node", part.index, kindOf(document, part), part.raw.kind ?? null, Object.keys(settings).filter((each) => !this.knows(part, each)),
      GATES.map((gate) => isObject(settings[gate])), nodes, this.edgesOf(part).map(([, edge]) => [edge.key, edge.raw.source, edge.raw.target, words(edge)])];
  }

  #endsKnown({ raw }) {
    const { nodes } = read(this.editor.document);
    return [raw.source, raw.target].map((id) => nodes.some((node) => node.id === id) || id);
  }

  knows(node, setting) {
    const kind = this.kinds.get(kindOf(this.editor.document, node));
    return kind ? kind.fields.some((each) => each.name === setting) : false;
  }

  decides(id) {
    const { document } = this.editor;
    const node = read(document).nodes.find((each) => each.id === id);
    return node ? this.kinds.get(kindOf(document, node))?.decides ?? "nothing" : "nothing";
  }

  edgesOf(node) {
    const { edges } = read(this.editor.document);
    return edges.flatMap((edge) => [
      ...(edge.raw.source === node.id ? [["to", edge]] : []),
      ...(edge.raw.target === node.id && edge.raw.source !== node.id ? [["from", edge]] : []),
    ]);
  }

  // --- building ---

  #build(part) {
    const focused = this.home.contains(document.activeElement) ? document.activeElement.id : this.left;
    const folds = new Map([...this.home.querySelectorAll("details[data-fold]")].map((fold) => [fold.dataset.fold, fold.open]));
    this.fields = [];
    this.refused = null;
    this.shown = [];
    this.connecting = null;
    this.heading = make("h2", { tabindex: -1, id: "panel-heading" });
    this.general = make("ul", { class: "faults-here" });
    const made = !part ? this.#blueprint() : this.editor.selected.part === "node" ? nodeForm(this, part) : edgeForm(this, part);
    this.home.replaceChildren(...made);
    for (const fold of this.home.querySelectorAll("details[data-fold]")) fold.open = folds.get(fold.dataset.fold) ?? fold.open;
    if (!focused) return;
    const focus = () => (document.getElementById(focused) ?? this.heading).focus({ preventScroll: true });
    focus();
    // Told of a change as its field is left, the form takes away the field that Tab was to lead to.
    setTimeout(() => document.activeElement === document.body && focus());
  }

  head(...buttons) {
    return make("header", { class: "form-head" }, this.heading, ...buttons);
  }

  /** A field of the document at a path. `change` makes more of what was typed than to put it there. */
  field(spec, path, told, change = null) {
    const { editor } = this;
    const made = field(spec, (value) => {
      if (same(value, at(editor.document, path))) return;
      if (change) change(value, made);
      else editor.change(put(editor.document, path, value), told(), { field: `${path.join(".")}` });
    });
    this.fields.push(made);
    this.shown.push({ name: path, show: (value) => made.show(value) });
    return made.root;
  }

  fold(key, summary, ...children) {
    return make("details", { "data-fold": key, class: "fold" }, make("summary", {}, summary), make("div", { class: "fields" }, ...children));
  }

  #blueprint() {
    const { document } = this.editor;
    const told = (what) => () => [`${what} changed`];
    const unknown = Object.keys(isObject(document.limits) ? document.limits : {}).filter((each) => !this.limits.some((one) => one.name === each));
    return [
      this.head(),
      this.general,
      make("div", { class: "fields" },
        this.field({ name: "name", type: "line", label: "Name", empty: "", wide: true }, ["name"], told("name")),
        this.field({ name: "goodFor", type: "text", label: "Good for", rows: 4, wide: true, unsaid: "What somebody would choose it for." }, ["goodFor"], told("good for")),
        this.field({ name: "notFor", type: "text", label: "Not for", rows: 3, wide: true, unsaid: "What it should not be taken for." }, ["notFor"], told("not for"))),
      make("h3", {}, "Limits of each run"),
      make("p", { class: "hint" }, "At a limit a run stops with what it has, and says so. Nothing: no limit."),
      make("div", { class: "fields" }, ...this.limits.map((spec) => this.setting({ ...spec, none: "no limit", hint: "" }, ["limits"], "limits")),
        ...unknown.map((each) => this.unknown(["limits", each]))),
      this.chooseHint(),
    ];
  }

  chooseHint() {
    return make("p", { class: "hint" }, "Choose a node or an edge, on the canvas or in the lists, to change it here.");
  }

  /** A setting by its schema. */
  setting(spec, base, prefix, mine = (what) => () => [`${what} changed`]) {
    const path = [...base, spec.name];
    return this.field({ ...spec, name: `${prefix}.${spec.name}`, wide: ["text", "lines", "json", "ticks"].includes(spec.type), plain: true, list: spec.name.endsWith("Model") ? "models" : undefined }, path, mine(spec.label.toLowerCase()));
  }

  unknown(path) {
    const { editor } = this;
    const key = String(path.at(-1));
    const found = { name: `${path.at(-2)}.${key}`, told: make("p", { class: "fault" }), fault(message) { this.told.textContent = message; }, focus() { this.button.focus(); } };
    found.button = this.button("Remove", "plain", () => editor.change(put(editor.document, path, undefined), [name(key), " removed"]));
    this.fields.push(found);
    return make("div", { class: "field wide unknown" },
      make("p", {}, make("bdi", { class: "mono" }, key), " ", make("bdi", { class: "grey mono" }, JSON.stringify(at(editor.document, path))?.slice(0, 80) ?? ""), " ", found.button), found.told);
  }

  button(label, kind, press) {
    const made = make("button", { type: "button", class: kind || undefined }, label);
    made.addEventListener("click", press);
    return made;
  }

  /** Whoever typed an id that cannot be keeps the old one and is told. */
  identify(id, made, taken, what, change) {
    this.refused = id && !taken ? null : [made.name, taken ? `Another ${what} has this id; choose one of its own. The old one is kept.` : "It needs an id; the old one is kept."];
    if (this.refused) this.#faults();
    else change();
  }

  // --- what is wrong, and the title ---

  #faults() {
    const { editor } = this;
    const { part = null, key = null } = editor.selected ?? {};
    const here = editor.faults.of(part, key);
    const byField = new Map();
    const general = [];
    for (const { field: path, message } of here) {
      const found = path && this.#fieldOf(path);
      if (found) byField.set(found, [...(byField.get(found) ?? []), message]);
      else general.push(message);
    }
    for (const each of this.fields) {
      const refused = this.refused?.[0] === each.name ? [this.refused[1]] : [];
      each.fault([...refused, ...(byField.get(each) ?? [])].join(" "));
    }
    if (this.general.textContent !== general.join("")) {
      this.general.replaceChildren(...general.map((message) => make("li", { class: "fault" }, make("bdi", {}, message))));
    }
  }

  #title(part) {
    const { document, selected } = this.editor;
    const title = !part ? ["Blueprint"]
      : selected.part === "node" ? ["Node ", name(called(part))]
        : ["Edge ", name(ends(document, part)[0]), " → ", name(ends(document, part)[1])];
    const told = JSON.stringify(title);
    if (this.heading.dataset.told === told) return;
    this.heading.dataset.told = told;
    this.heading.replaceChildren(...written(title));
  }
}
