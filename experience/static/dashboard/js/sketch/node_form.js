// The form of a node: its settings, its gates, its edges, its place.

import { at, called, capital, isObject, kindOf, put, read, renamed } from "./document.js";
import { field, make } from "./fields.js";
import { ends, words } from "./picture.js";
import { name } from "./say.js";

export const GATES = ["gateBefore", "gateAfter"];

export function nodeForm(panel, node) {
  const { document } = panel.editor;
  const base = ["nodes", node.index];
  const kind = panel.kinds.get(kindOf(document, node));
  const mine = (what) => () => [`${what} of `, name(called(now(panel, node))), " changed"];
  const settings = (kind?.fields ?? []).filter((each) => !GATES.includes(each.name));
  const own = settings.filter((each) => each.type !== "json" && (!panel.common.has(each.name) || each.name === "temperature"));
  const more = settings.filter((each) => !own.includes(each));
  const raw = isObject(node.raw.settings) ? node.raw.settings : {};
  const unknown = Object.keys(raw).filter((each) => !panel.knows(node, each));
  const setting = (spec) => panel.setting(spec, [...base, "settings"], "settings", mine);
  return [
    panel.head(panel.button("Delete", "danger", () => panel.editor.remove({ part: "node", key: now(panel, node).key }))),
    panel.general,
    make("div", { class: "fields" },
      panel.field({ name: "label", type: "line", label: "Label", empty: "", unsaid: node.id }, [...base, "label"], mine("label")),
      panel.field({ name: "id", type: "line", label: "Id", empty: "", late: true, plain: true }, [...base, "id"], null, (id, made) => rename(panel, node, id, made)),
      panel.field(kindSpec(panel, node, kind), [...base, "kind"], null, (value) => turn(panel, node, value)),
      panel.field({ name: "entry", type: "yes", label: "A run begins here" }, [...base, "entry"], mine("entry")),
      panel.field({ name: "systemPrompt", type: "text", label: "System prompt", rows: 7, wide: true, empty: "", unsaid: kind?.prompt, hint: node.raw.systemPrompt ? "" : kind?.prompt ? "Empty: what stands there in grey is used." : "" }, [...base, "systemPrompt"], mine("system prompt")),
      panel.field({ name: "model", type: "line", label: "Model", wide: true, empty: "", plain: true, list: "models", unsaid: panel.editor.about.defaultModel || "none is set up", hint: "As provider:model. Empty: the run's own." }, [...base, "model"], mine("model")),
      ...own.map(setting), ...unknown.map((each) => panel.unknown([...base, "settings", each]))),
    edgeList(panel, node),
    panel.fold("gates", "Gates: where a person decides", ...GATES.map((gate) => gateFields(panel, kind, base, gate, mine))),
    more.length ? panel.fold("more", "More settings", ...more.map(setting)) : null,
    panel.fold("place", "Place and tools", ...["x", "y"].map((axis) =>
      panel.field({ name: `position.${axis}`, type: "number", label: `Position ${axis}`, late: true, none: "laid out" }, [...base, "position", axis], null, (value, made) => stand(panel, node, axis, value, made))),
      panel.field({ name: "tools.webSearch", type: "yes", label: "Web search" }, [...base, "tools", "webSearch"], mine("tools")),
      panel.field({ name: "tools.pdfReader", type: "yes", label: "PDF reader" }, [...base, "tools", "pdfReader"], mine("tools")),
      make("p", { class: "hint wide" }, "Tools are kept with the blueprint; the kinds that ship do not use them yet.")),
  ].filter(Boolean);
}

/** The node as it is now: the form stays while it is typed in. */
function now(panel, node) {
  return read(panel.editor.document).nodes.find(({ index }) => index === node.index) ?? node;
}

function kindSpec(panel, node, kind) {
  const options = [...panel.kinds.keys()];
  const stated = node.raw.kind;
  const unsaid = stated === undefined || stated === null ? [{ value: "", label: `not stated (${kindOf(panel.editor.document, node)})` }] : [];
  return { name: "kind", type: "choice", label: "Kind", options: [...unsaid, ...options], wide: true, hint: kind ? `${capital(kind.summary)}.` : "" };
}

function gateFields(panel, kind, base, gate, mine) {
  const { editor } = panel;
  const path = [...base, "settings", gate];
  const spec = kind?.fields.find((each) => each.name === gate);
  const title = gate === "gateBefore" ? "Before it works" : "After it has worked";
  const stated = at(editor.document, path);
  const yes = field({ name: `settings.${gate}`, type: "yes", label: title }, (value) =>
    editor.change(put(editor.document, path, value ? {} : undefined), [value ? "gate added" : "gate removed"]));
  panel.fields.push(yes);
  panel.shown.push({ name: path, show: (value) => yes.show(value !== undefined && value !== null) });
  if (!isObject(stated) || !spec?.fields) return yes.root;
  return make("div", { class: "gate-fields wide" }, yes.root, make("div", { class: "fields" },
    ...spec.fields.map((each) => panel.setting(each, path, `settings.${gate}`, mine))));
}

function edgeList(panel, node) {
  const { editor } = panel;
  const { document } = editor;
  const others = read(document).nodes.filter((each) => each.id && each.key !== node.key && each.key === each.id);
  const rows = panel.edgesOf(node).map(([way, edge]) => {
    const [from, to] = ends(document, edge);
    const said = words(edge);
    const button = panel.button("", "plain", () => {
      editor.select({ part: "edge", key: edge.key });
      panel.focus();
    });
    button.append(make("span", {}, way === "to" ? "leads to " : "comes from ", make("bdi", {}, (way === "to" ? to : from).slice(0, 100)), ...(said ? [", ", make("bdi", {}, said.slice(0, 100))] : [])));
    return make("li", {}, button);
  });
  const select = make("select", { id: "connect", "aria-label": "Connect to" }, make("option", { value: "" }, "Connect to …"), ...others.map((each) => make("option", { value: each.key }, called(each).slice(0, 100))));
  const connect = () => {
    if (select.value) editor.connect(now(panel, node).key, select.value, { isHere: true });
    else editor.say("Choose first what it is to lead to.");
  };
  select.addEventListener("keydown", (event) => event.key === "Enter" && (event.preventDefault(), connect()));
  panel.connecting = select;
  return make("div", { class: "edges-here" }, make("h3", {}, "Edges"), rows.length ? make("ul", {}, ...rows) : make("p", { class: "hint" }, "None yet."),
    make("div", { class: "connect" }, select, panel.button("Connect", "", connect)));
}

function rename(panel, node, id, made) {
  const { editor } = panel;
  const current = now(panel, node);
  const taken = read(editor.document).nodes.some((each) => each.id === id && each.index !== node.index);
  panel.identify(id, made, taken, "node", () =>
    editor.change(renamed(editor.document, current.key, id), [name(current.id), " is called ", name(id), " now"], { select: { part: "node", key: id } }));
}

// --- changes that mean more ---

/** Another kind; the settings that only the old one knows go with it. */
function turn(panel, node, kind) {
  const { editor } = panel;
  const path = ["nodes", node.index];
  const current = now(panel, node);
  const knows = (which, setting) => panel.kinds.get(which)?.fields.some((each) => each.name === setting);
  const was = kindOf(editor.document, current);
  const settings = isObject(current.raw.settings) ? current.raw.settings : {};
  const gone = Object.keys(settings).filter((each) => knows(was, each) && !knows(kind, each));
  const next = gone.reduce((found, each) => put(found, [...path, "settings", each], undefined), put(editor.document, [...path, "kind"], kind));
  editor.change(next, [name(called(current)), ` is a ${kind} now`, gone.length ? `; ${gone.join(", ")} removed, which it does not know` : ""]);
}

function stand(panel, node, axis, value, made) {
  const { editor } = panel;
  const current = now(panel, node);
  const place = editor.picture.places.get(current.key);
  if (typeof value === "number") editor.put(current.key, { ...place, [axis]: value }, { isTyped: true });
  else editor.change(put(editor.document, ["nodes", node.index, "position", axis], value), ["position changed"]);
  made.set(at(editor.document, ["nodes", node.index, "position", axis])); // not where it was put, if another is there
}
