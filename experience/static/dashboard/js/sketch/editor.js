// The editor: one document, what was done to it, what is selected, and the parts that show it.

import * as documents from "./document.js";
import { History } from "./history.js";
import { Picture, ends } from "./picture.js";
import { beside, nearest, stated } from "./places.js";
import { name, say } from "./say.js";

export class Editor {
  /** `about`: what the server says of the sketch. */
  constructor(about) {
    this.about = about;
    this.telling = about.telling;
    this.history = new History(about.telling.document);
    this.picture = new Picture();
    this.selected = null;
    this.parts = [];
    this.say = say;
  }

  get document() {
    return this.history.document;
  }

  node(key) {
    return documents.find(this.document, { part: "node", key });
  }

  isSelected(part, key) {
    return this.selected?.part === part && this.selected.key === key;
  }

  draw() {
    // What is gone cannot be selected.
    if (!documents.find(this.document, this.selected)) this.selected = null;
    const hasMoved = this.picture.place(this.document);
    for (const part of this.parts) part.draw(this);
    if (hasMoved && this.isToFit) this.canvas.fit();
    if (hasMoved) this.isToFit = false;
  }

  /** Select `{part, key}`, or (`null`) the blueprint itself. `isQuiet`: leave the canvas where it is. */
  select(selected, { isQuiet = false } = {}) {
    if (documents.same(selected ?? null, this.selected)) return;
    this.history.seal();
    this.selected = selected;
    this.draw();
    if (selected?.part === "node" && !isQuiet) this.canvas.keepInView(selected.key);
  }

  // --- changes ---

  /** One step. `told`: what was done, in words and names; `field`: those of one field are one step. */
  change(document, told, { select = this.selected, field = null } = {}) {
    this.history.change(documents.counted(this.document, document), told, { selected: select, field });
    this.selected = select;
    this.draw();
    this.keeping.changed();
    if (field === null) say(...told);
  }

  undo() {
    this.#step(this.history.undo(), "Undone: ", "There is nothing to undo.");
  }

  redo() {
    this.#step(this.history.redo(), "Done again: ", "There is nothing to do again.");
  }

  #step(step, before, none) {
    if (!step) {
      say(none);
      return;
    }
    if (documents.find(this.document, step.selected)) this.selected = step.selected;
    this.draw();
    if (this.selected?.part === "node") this.canvas.keepInView(this.selected.key);
    this.keeping.changed();
    say(before, ...step.told);
  }

  /** A document in place of this one, as one step. */
  replace(document, told) {
    this.isToFit = true;
    this.change(document, told, { select: null });
    this.canvas.fit();
  }

  add(kind) {
    const from = this.selected?.part === "node" ? this.selected.key : null;
    // Where the document places all, it places this one too; otherwise it is laid out with them.
    const position = stated(this.document) ? beside(this.picture.places, from) : undefined;
    const [next, key] = documents.withNode(this.document, kind, position);
    if (!position) this.picture.places.set(key, beside(this.picture.places, from));
    this.change(next, [name(documents.called(documents.find(next, { part: "node", key }))), " added"], { select: { part: "node", key } });
    this.canvas.keepInView(key);
  }

  /** An edge between two nodes. `isHere`: the first stays selected. */
  connect(source, target, { isHere = false } = {}) {
    const [from, to] = [this.node(source), this.node(target)];
    if (!from?.id || !to?.id || from.key !== from.id || to.key !== to.id) {
      say("A node without an id of its own cannot be connected; give it one first.");
      return;
    }
    const how = this.#how(from, to);
    const [next, key] = documents.withEdge(this.document, from.id, to.id, how);
    const told = ["edge from ", name(documents.called(from)), " to ", name(documents.called(to)), " added"];
    this.change(next, how.condition ? [...told, ", when ", name(how.condition)] : told, { select: isHere ? this.selected : { part: "edge", key } });
  }

  /** What kind of edge the source's kind asks for. */
  #how(from, to) {
    const { document } = this;
    const kind = documents.kindOf(document, from);
    const decides = this.about.kinds.find((each) => each.name === kind)?.decides;
    if (decides === "edges") return { type: "conditional", condition: documents.called(to).toLowerCase().slice(0, 100) };
    if (decides !== "verdict") return { type: "linear" };
    return { type: "conditional", condition: documents.leads(document, to.id, from.id) ? "revise" : "approve" };
  }

  remove({ part, key }) {
    const found = documents.find(this.document, { part, key });
    if (!found) return;
    const told = part === "node" ? [name(documents.called(found)), " removed"]
      : ["edge from ", name(ends(this.document, found)[0]), " to ", name(ends(this.document, found)[1]), " removed"];
    const next = part === "node" ? documents.withoutNode(this.document, key) : documents.withoutEdge(this.document, key);
    this.change(next, told, { select: null });
  }

  /** Put a node somewhere; from then on the document says where all of them stand. */
  put(key, place, { field = null, isTyped = false } = {}) {
    const { places } = this.picture;
    const free = isTyped ? nearest(places, key, place) : place;
    const told = [name(documents.called(this.node(key))), " moved"];
    const moved = new Map(stated(this.document) ? [[key, free]] : [...places, [key, free]]);
    this.change(documents.placed(this.document, moved), told, { field });
    if (isTyped && free !== place) say(name(documents.called(this.node(key))), ` stands at ${free.x}, ${free.y}: another node is where you put it.`);
  }

  tidy() {
    this.isToFit = true;
    this.change(documents.unplaced(this.document), ["laid out anew"]);
  }

  /** Take what the server says of the document as it is now. */
  take(telling) {
    this.telling = telling;
    if (telling.document && !documents.same(telling.document, this.document)) this.history.amend(telling.document);
    this.faults.take(telling.faults);
    this.picture.route(this.document, telling.plan);
    this.draw();
  }
}
