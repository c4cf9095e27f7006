// The end: the server's own words for how far to trust it, and the result.

import { hasEnded } from "./reading.js";
import { fragment } from "./fragment.js";

export class Result {
  constructor(page) {
    this.page = page;
    this.section = document.getElementById("result");
    this.sentence = document.getElementById("sentence");
  }

  async draw(state) {
    const seq = hasEnded(state) ? String(state.end.seq) : "";
    if ((this.section.dataset.end ?? "") === seq) {
      if (seq) this.#tell();
      return;
    }
    // What stood there when the page came may be newer than what the log has told so far.
    if (!seq && !state.retries) return;
    if (!seq) {
      delete this.section.dataset.end;
      this.section.replaceChildren();
      this.section.hidden = true;
      return;
    }
    this.section.dataset.end = seq;
    const found = await fragment("result/");
    if (this.section.dataset.end !== seq) return;
    this.section.replaceChildren(...found.childNodes);
    this.section.hidden = false;
    this.#tell();
  }

  #tell() {
    const told = this.section.querySelector("[data-told]")?.dataset.told;
    if (told && this.sentence.textContent !== told) this.sentence.textContent = told;
  }
}
