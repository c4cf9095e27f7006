// Text that grows: what is new is added at its end, and the view follows it while the reader is
// there; otherwise it says that there is more.

import { Blocks } from "./blocks.js";

const NEAR = 24; // pixels from the end that still count as there

export class Stream {
  constructor(section, body) {
    this.body = body;
    this.more = document.createElement("button");
    this.more.type = "button";
    this.more.className = "more";
    this.more.textContent = "New text below";
    this.more.hidden = true;
    this.more.addEventListener("click", () => this.#toEnd());
    this.isFollowing = true;
    this.top = 0;
    body.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    section.append(this.more);
    this.#begin();
  }

  /** Show the step's text; `note` stands after it, where there is none or it is over. */
  draw(step, note) {
    if (step.voids !== this.voids || step.text.length < this.length) this.#begin(step.voids);
    if (step.text.length > this.length) {
      this.blocks.add(step.text.slice(this.length));
      this.length = step.text.length;
      if (this.isFollowing) this.#toEnd();
      else this.more.hidden = false;
    }
    if (this.note.textContent !== note) this.note.textContent = note;
  }

  end() {
    this.more.hidden = true;
  }

  #begin(voids = 0) {
    this.voids = voids;
    this.length = 0;
    this.blocks?.end();
    this.blocks = new Blocks(() => this.isFollowing && this.#toEnd());
    this.note = document.createElement("p");
    this.note.className = "grey note";
    this.body.replaceChildren(this.blocks.element, this.note);
  }

  /** Who scrolls up reads there; who comes back to the end follows again. */
  #scrolled() {
    const { scrollHeight, scrollTop, clientHeight } = this.body;
    const isThere = scrollHeight - scrollTop - clientHeight < NEAR;
    if (isThere || scrollTop < this.top) this.isFollowing = isThere;
    if (isThere) this.more.hidden = true;
    this.top = scrollTop;
  }

  #toEnd() {
    this.isFollowing = true;
    this.body.scrollTop = this.body.scrollHeight;
    this.more.hidden = true;
  }
}
