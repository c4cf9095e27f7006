// The form of an edge: where it leads, and when it is taken.

import { called, calledById, put, read, text } from "./document.js";
import { make } from "./fields.js";
import { name, written } from "./say.js";

export function edgeForm(panel, edge) {
  const { document } = panel.editor;
  const base = ["edges", edge.index];
  const decides = panel.decides(edge.raw.source);
  const nodes = read(document).nodes.filter(({ id, key }) => id && id === key).map((node) => ({ value: node.id, label: called(node).slice(0, 100) }));
  const told = (what) => () => [`${what} of the edge changed`];
  const isConditional = edge.raw.type === "conditional";
  const source = calledById(document, edge.raw.source);
  const hints = { verdict: "Its verdict is approve or revise.", edges: "It chooses among the conditions of its edges.", nothing: "It decides nothing, so its edges are always taken." };
  return [
    panel.head(panel.button("Delete", "danger", () => panel.editor.remove({ part: "edge", key: read(panel.editor.document).edges.find(({ index }) => index === edge.index).key }))),
    panel.general,
    make("div", { class: "fields" },
      panel.field({ name: "source", type: "choice", label: "From", options: nodes }, [...base, "source"], told("beginning")),
      panel.field({ name: "target", type: "choice", label: "To", options: nodes }, [...base, "target"], told("end")),
      panel.field({ name: "type", type: "choice", label: "Taken", options: [{ value: "linear", label: "always (linear)" }, { value: "conditional", label: "on a condition" }] },
        [...base, "type"], null, (value) => turn(panel, edge, value, decides)),
      isConditional ? panel.field(decides === "verdict"
        ? { name: "condition", type: "choice", label: "When", options: ["approve", "revise"] }
        : { name: "condition", type: "line", label: "When", empty: "", unsaid: "a word for it: ready" }, [...base, "condition"], told("condition")) : null),
    make("p", { class: "hint" }, ...written([name(source), `: ${hints[decides].slice(0, 1).toLowerCase()}${hints[decides].slice(1)}`])),
    panel.fold("id", "Id", panel.field({ name: "id", type: "line", label: "Id", empty: "", late: true, plain: true, wide: true }, [...base, "id"], null, (id, made) => {
      const taken = read(panel.editor.document).edges.some((each) => each.id === id && each.index !== edge.index);
      panel.identify(id, made, taken, "edge", () => panel.editor.change(put(panel.editor.document, [...base, "id"], id), ["id of the edge changed"], { select: { part: "edge", key: id } }));
    })),
    panel.chooseHint(),
  ];
}

function turn(panel, edge, type, decides) {
  const { editor } = panel;
  const path = ["edges", edge.index];
  const next = put(editor.document, [...path, "type"], type);
  const condition = type === "linear" ? undefined : text(edge.raw.condition) || (decides === "verdict" ? "approve" : "");
  editor.change(put(next, [...path, "condition"], condition), [type === "linear" ? "edge is always taken now" : "edge has a condition now"]);
}
