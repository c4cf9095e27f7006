// Working on the canvas with mouse, pen, finger and keys: select, move, connect, take away.

import { called } from "./document.js";
import { nearest, onward, snapped } from "./places.js";
import { name } from "./say.js";

const STILL = 4; // pixels that a click may move
const RIM = 32; // pixels from the canvas's side where it begins to scroll
const FASTEST = 14; // pixels a picture
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Hands {
  constructor(editor, canvas) {
    Object.assign(this, { editor, canvas });
    const { home } = canvas;
    home.addEventListener("pointerdown", (event) => this.#down(event));
    home.addEventListener("pointermove", (event) => this.#move(event));
    home.addEventListener("pointerup", (event) => this.#up(event));
    home.addEventListener("pointercancel", () => this.#let());
    // A finger's pointer belongs at first to the node, and leaves it for the canvas.
    home.addEventListener("lostpointercapture", ({ target }) => target === home && this.#let());
    // What is held does not scroll, also where a browser overlooks `touch-action` in a drawing.
    home.addEventListener("touchmove", (event) => this.held && event.preventDefault(), { passive: false });
    home.addEventListener("click", (event) => this.#click(event));
    home.addEventListener("keydown", (event) => this.#key(event));
    home.addEventListener("focusin", ({ target }) => target.dataset.key && canvas.keepInView(target.dataset.key));
  }

  // --- pointers ---

  #down(event) {
    if (event.button !== 0 || this.held) return;
    const node = event.target.closest("[data-key]");
    const isHandle = node && event.target.closest(".handle");
    this.hasMoved = false;
    // Fingers scroll by themselves, and so do scrollbars.
    const isGround = event.pointerType !== "touch" && event.target.closest("svg") && !event.target.closest("[data-edge]");
    if (!node && !isGround) return;
    const how = isHandle ? "lead" : node ? "move" : "pan";
    this.held = { how, key: node?.dataset.key, pointer: event.pointerId, from: at(event), at: at(event) };
    if (how === "move") {
      const [x, y] = this.canvas.point(event);
      const [left, top] = this.canvas.geometry.corner(this.held.key);
      this.held.grip = [x - left, y - top];
    }
  }

  #move(event) {
    const { held } = this;
    if (held?.pointer !== event.pointerId) return;
    if (!event.buttons) {
      this.#let(); // it was let go where we could not see it
      return;
    }
    const far = Math.hypot(event.clientX - held.from.clientX, event.clientY - held.from.clientY);
    if (!this.hasMoved && far < STILL) return;
    if (!this.hasMoved) this.#begin(event);
    if (held.how === "pan") {
      this.canvas.home.scrollBy({ left: held.at.clientX - event.clientX, top: held.at.clientY - event.clientY, behavior: "instant" });
    }
    held.at = at(event);
  }

  #begin(event) {
    const { held, editor, canvas } = this;
    this.hasMoved = true;
    canvas.home.setPointerCapture(event.pointerId);
    canvas.home.dataset.held = held.how;
    if (held.how === "pan") return;
    editor.select({ part: "node", key: held.key }, { isQuiet: true });
    requestAnimationFrame(() => this.#follow(held));
  }

  /** Once for each picture of the screen: scroll where the pointer is at the rim, and draw. */
  #follow(held) {
    const { canvas, editor } = this;
    if (this.held === held && !canvas.nodes.has(held.key)) this.#let(); // gone meanwhile
    if (this.held !== held) return;
    canvas.home.scrollBy({ ...rim(canvas.home.getBoundingClientRect(), held.at), behavior: "instant" });
    const point = canvas.point(held.at);
    if (held.how === "lead") {
      canvas.lead(held.key, point);
      this.#aim(held.at);
    } else {
      editor.picture.places.set(held.key, this.#place(point, held.grip));
      canvas.draw();
    }
    requestAnimationFrame(() => this.#follow(held));
  }

  #place([x, y], [right, down]) {
    const { geometry } = this.canvas;
    return snapped(geometry.position(geometry.spotAt(x - right, y - down)));
  }

  #aim(point) {
    const target = under(point);
    if (this.target === target) return;
    this.target?.removeAttribute("data-target");
    this.target = target;
    target?.setAttribute("data-target", "");
  }

  #up(event) {
    const { held, editor, canvas } = this;
    if (held?.pointer !== event.pointerId) return;
    const { hasMoved } = this;
    const target = under(event)?.dataset.key;
    const place = hasMoved && held.how === "move" ? this.#place(canvas.point(event), held.grip) : null;
    this.held = null; // so that nothing is let go
    this.#let();
    if (!hasMoved) return;
    if (place) this.#put(held.key, nearest(editor.picture.places, held.key, place));
    if (held.how === "lead" && target && target !== held.key) editor.connect(held.key, target);
    else if (held.how === "lead") editor.say("No edge: let it go on another node.");
  }

  /** Everything as it was before it was held. */
  #let() {
    const { held } = this;
    this.held = null;
    this.#aim({ clientX: -1, clientY: -1 });
    this.canvas.lead(null);
    delete this.canvas.home.dataset.held;
    if (held?.how === "move" && this.hasMoved) this.editor.draw();
  }

  #click(event) {
    if (this.hasMoved) {
      this.hasMoved = false;
      return;
    }
    const node = event.target.closest("[data-key]");
    const edge = event.target.closest("[data-edge]");
    if (node) this.#choose({ part: "node", key: node.dataset.key });
    else if (edge) this.#choose({ part: "edge", key: edge.dataset.edge });
    else this.editor.select(null);
  }

  #choose(selected) {
    this.editor.select(selected);
    this.canvas.focus(selected);
  }

  #put(key, place) {
    const { editor } = this;
    editor.put(key, place);
    editor.say(name(called(editor.node(key))), ` stands at ${place.x}, ${place.y} now.`);
  }

  // --- keys ---

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key, edge } = event.target.closest?.("[data-key], [data-edge]")?.dataset ?? {};
    if (event.key === "Escape" && this.held) {
      this.#let();
      this.hasMoved = true; // the click that follows is none
    } else if (key !== undefined && this.#ofNode(event, key)) {
      event.preventDefault();
    } else if (edge !== undefined && this.#ofAny(event, { part: "edge", key: edge })) {
      event.preventDefault();
    }
  }

  #ofNode(event, key) {
    const { editor, canvas } = this;
    const arrow = ARROWS[event.key];
    if (arrow) {
      const { places } = editor.picture;
      const by = event.shiftKey ? arrow.map((step) => step * 6) : arrow;
      editor.select({ part: "node", key }, { isQuiet: true });
      editor.put(key, onward(places, key, snapped(places.get(key)), by), { field: `move:${key}` });
      canvas.keepInView(key);
      return true;
    }
    if (event.key.toLowerCase() === "c") {
      editor.select({ part: "node", key });
      editor.panel.focus("connect");
      return true;
    }
    if (event.key.toLowerCase() === "n") return this.#next(key, 1);
    if (event.key.toLowerCase() === "p") return this.#next(key, -1);
    return this.#ofAny(event, { part: "node", key });
  }

  #next(key, by) {
    const keys = [...this.canvas.nodes.keys()];
    this.#choose({ part: "node", key: keys.at((keys.indexOf(key) + by) % keys.length) });
    return true;
  }

  #ofAny(event, selected) {
    const { editor } = this;
    if (event.key === "Delete" || event.key === "Backspace") {
      editor.remove(selected);
      this.canvas.svg.focus({ preventScroll: true });
      return true;
    }
    if (event.key === "Enter" || event.key === " ") {
      editor.select(selected);
      editor.panel.focus();
      return true;
    }
    if (event.key === "Escape") {
      editor.select(null);
      return true;
    }
    return false;
  }
}

function at({ clientX, clientY }) {
  return { clientX, clientY };
}

function under({ clientX, clientY }) {
  return document.elementFromPoint(clientX, clientY)?.closest?.("#canvas [data-key]") ?? null;
}

function rim({ left, top, right, bottom }, { clientX, clientY }) {
  const by = (low, high, here) => {
    if (here < low + RIM) return -Math.min(FASTEST, (low + RIM - here) / 3);
    return here > high - RIM ? Math.min(FASTEST, (here - high + RIM) / 3) : 0;
  };
  return { left: by(left, right, clientX), top: by(top, bottom, clientY) };
}
