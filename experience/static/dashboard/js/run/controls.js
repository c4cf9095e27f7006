// Stop and retry. What they did shows when the log says so.

import { send } from "../send.js";
import { hasEnded } from "./reading.js";

const SURE_MS = 5_000;

export class Controls {
  constructor(page, line) {
    this.line = line;
    this.base = `/api/councils/run/${page.about.run}`;
    this.stop = document.getElementById("stop");
    this.retry = document.getElementById("retry");
    this.problem = document.getElementById("problem");
    this.stop?.addEventListener("click", () => this.#stop());
    this.retry?.addEventListener("click", () => this.#retry());
    document.addEventListener("keydown", closeMenu);
    document.addEventListener("click", closeMenu);
  }

  draw(state) {
    if (!this.stop) return;
    this.stop.hidden = hasEnded(state) || !state.seq;
    this.retry.hidden = state.status !== "failed";
    if (this.end === state.end?.seq) return;
    this.end = state.end?.seq;
    this.stop.disabled = this.retry.disabled = false;
    this.problem.textContent = "";
  }

  // A run that was stopped does not go on, so it is asked once more.
  #stop() {
    if (!this.isSure) {
      this.#sure(true);
      setTimeout(() => this.#sure(false), SURE_MS);
      return;
    }
    this.#sure(false);
    this.#post(this.stop, "/cancel");
  }

  #sure(isSure) {
    this.isSure = isSure;
    this.stop.textContent = isSure ? "Stop for good?" : "Stop";
  }

  async #retry() {
    this.key ??= crypto.randomUUID?.() ?? String(Math.random());
    if (await this.#post(this.retry, "/retry", {}, { key: this.key })) {
      this.key = undefined;
      this.line.again();
    }
  }

  async #post(button, path, body = undefined, more = undefined) {
    button.disabled = true;
    this.problem.textContent = "";
    try {
      await send(this.base + path, body, more);
      return true;
    } catch (problem) {
      this.problem.textContent = problem.message;
      button.disabled = false;
      return false;
    }
  }
}

/** A menu closes at Escape, and at a click elsewhere. */
function closeMenu(event) {
  const menu = document.querySelector("details.menu[open]");
  if (!menu) return;
  if (event.key === "Escape") menu.querySelector("summary").focus();
  if (event.key === "Escape" || (event.type === "click" && !menu.contains(event.target))) menu.open = false;
}
