// The faults that the server finds: a list that leads to their places, and what is at each place.

import { read } from "./document.js";
import { make } from "./fields.js";

// Where a fault that names no field is mended.
const FIELDS = { duplicate_node: "id", duplicate_edge: "id", edge_to_nowhere: "target", edge_from_nowhere: "source", not_a_critic: "kind" };

export class Faults {
  constructor(editor) {
    this.editor = editor;
    this.section = document.getElementById("faults");
    this.heading = document.getElementById("faults-heading");
    this.list = document.getElementById("faults-list");
    this.none = document.getElementById("faults-none");
    this.list.addEventListener("click", ({ target }) => {
      const button = target.closest("button");
      if (button) this.lead(this.found[Number(button.dataset.number)]);
    });
    this.take([]);
  }

  /** Take what the server says of a document. */
  take(faults) {
    this.found = faults.map((fault) => ({ ...place(this.editor.document, fault), message: fault.message }));
  }

  /** Those at a node, at an edge, or (`null`) at the blueprint itself. */
  of(part, key) {
    return this.found.filter((fault) => fault.part === part && (part === null || fault.key === key));
  }

  /** Select where it is, and put the cursor there. */
  lead(fault) {
    const { editor } = this;
    editor.select(fault.part && { part: fault.part, key: fault.key });
    editor.panel.focus(fault.field);
  }

  first() {
    if (this.found.length) this.lead(this.found[0]);
  }

  draw() {
    const { found } = this;
    const told = found.length === 1 ? "1 fault" : `${found.length} faults`;
    this.heading.textContent = found.length ? told : "Faults";
    this.section.dataset.state = found.length ? "failed" : "done";
    this.none.hidden = found.length > 0;
    while (this.list.children.length > found.length) this.list.lastElementChild.remove();
    found.forEach(({ message }, number) => {
      const item = this.list.children[number] ?? this.list.appendChild(make("li", {}, make("button", { type: "button", class: "plain" }, make("bdi"))));
      item.firstChild.dataset.number = number;
      if (item.textContent !== message) item.firstChild.firstChild.textContent = message;
    });
  }
}

function place(document, { code, message, node, edge, field }) {
  const where = { field: field ?? FIELDS[code] ?? null };
  if (node !== null && node !== undefined) return { part: "node", key: node, ...where };
  if (edge !== null && edge !== undefined) return { part: "edge", key: edge, ...where };
  // One without an id is told by its number.
  const [, list, number] = /^[^`]*`(nodes|edges)\[(\d+)\]/.exec(message) ?? [];
  const found = list && read(document)[list].find(({ index }) => index === Number(number));
  return found ? { part: list.slice(0, -1), key: found.key, ...where } : { part: null, key: null, ...where };
}
