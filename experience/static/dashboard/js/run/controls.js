// Stop, retry and run again. What they did shows when the log says so.

import { Keys } from "../keys.js";
import { send } from "../send.js";
import { hasEnded } from "./reading.js";

const SURE_MS = 5_000;
// "Run again" comes where "Stop" was: a click that was meant for that must not start a run.
const PAUSE_MS = 1_500;

export class Controls {
  constructor(page, line) {
    this.line = line;
    this.base = `/api/councils/run/${page.about.run}`;
    this.stop = document.getElementById("stop");
    this.retry = document.getElementById("retry");
    this.again = document.getElementById("again");
    this.keys = new Keys();
    this.problem = document.getElementById("problem");
    this.stop?.addEventListener("click", () => this.#stop());
    this.stop?.addEventListener("blur", () => this.#sure(false));
    this.stop?.addEventListener("keydown", ({ key }) => key === "Escape" && this.#sure(false));
    this.retry?.addEventListener("click", () => this.#retry());
    this.again?.addEventListener("click", () => this.#runAgain());
    document.addEventListener("keydown", closeMenu);
    document.addEventListener("click", closeMenu);
  }

  draw(state) {
    if (!this.stop) return;
    const endsNow = hasEnded(state) && !this.stop.hidden;
    this.stop.hidden = hasEnded(state) || !state.seq;
    this.retry.hidden = state.status !== "failed";
    // At a limit the same would end as it did, as long as nobody has raised it.
    this.retry.classList.toggle("primary", !state.end?.code?.endsWith("_limit"));
    this.again.hidden = !hasEnded(state);
    if (this.end === state.end?.seq) return;
    this.end = state.end?.seq;
    this.stop.disabled = this.retry.disabled = this.again.disabled = false;
    this.problem.textContent = "";
    if (!endsNow) return;
    this.again.disabled = true;
    setTimeout(() => { this.again.disabled = false; }, PAUSE_MS);
  }

  // A run that was stopped does not go on, so it is asked once more.
  #stop() {
    if (!this.isSure) {
      this.#sure(true);
      return;
    }
    this.#sure(false);
    this.#post(this.stop, "/cancel");
  }

  #sure(isSure) {
    clearTimeout(this.unsure);
    if (isSure) this.unsure = setTimeout(() => this.#sure(false), SURE_MS);
    this.isSure = isSure;
    this.stop.textContent = isSure ? "Stop for good?" : "Stop";
  }

  async #retry() {
    // The same failure is retried once, however often that is sent.
    if (await this.#post(this.retry, "/retry", {}, { key: this.keys.of("retry", this.end) })) this.line.again();
  }

  async #runAgain() {
    const begun = await this.#post(this.again, "/fork", { after: 0 }, { key: this.keys.of("again") });
    if (!begun) return;
    this.keys = new Keys(); // who comes back to this page means another one
    location.assign(`/runs/${begun.run_id}/`);
  }

  /** What was answered; null where it was refused, which is said. */
  async #post(button, path, body = undefined, more = undefined) {
    button.disabled = true;
    this.problem.textContent = "";
    try {
      return await send(this.base + path, body, more);
    } catch (problem) {
      this.problem.textContent = problem.message;
      button.disabled = false;
      return null;
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
