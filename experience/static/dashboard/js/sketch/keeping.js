// Every change is kept: at once in the tab, and soon on the server. A word says which.

import { Problem, send } from "../send.js";
import { same } from "./document.js";

const SOON_MS = 200;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 10_000;
const PATIENCE_MS = 15_000; // for an answer
const SIGNED_OUT = "Not kept: you are signed out. Sign in again in another tab; trying again.";
const WORDS = {
  kept: ["done", "Kept"],
  keeping: ["working", "Keeping …"],
  away: ["failed", "Not kept: the server cannot be reached; trying again"],
  out: ["failed", SIGNED_OUT],
  torn: ["asks", "Not kept: changed in another tab too; choose which counts"],
  gone: ["asks", "Not kept: saved or discarded elsewhere; choose what becomes of this"],
};

export class Keeping {
  constructor(editor, { torn, gone }) {
    Object.assign(this, { editor, torn, gone });
    this.path = editor.about.urls.document;
    this.place = `councilos.sketch.${editor.about.id}`;
    this.revision = editor.telling.revision;
    this.kept = editor.telling.document; // what the server has
    this.wait = FIRST_WAIT_MS;
    this.word = document.getElementById("kept");
    this.shape = document.getElementById("kept-shape");
    window.addEventListener("online", () => this.#now());
    window.addEventListener("pagehide", () => this.#store());
    window.addEventListener("beforeunload", (event) => ["away", "out"].includes(this.state) && event.preventDefault());
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#now() : this.look()));
    this.#say("kept");
  }

  /** What the tab has kept that the server does not have; to be asked once, in the beginning. */
  begin() {
    const found = JSON.parse(sessionStorage.getItem(this.place) ?? "null");
    if (!found || same(found.document, this.kept)) {
      sessionStorage.removeItem(this.place);
      return;
    }
    this.editor.history.change(found.document, ["what was not kept"]);
    this.revision = found.revision;
    this.changed();
  }

  changed() {
    clearTimeout(this.storing);
    this.storing = setTimeout(() => this.#store(), 50);
    if (this.state === "torn" || this.state === "gone") return;
    if (!this.timer || this.state !== "away") this.#in(SOON_MS);
    if (this.state === "kept" || this.state === "refused") this.#say("keeping");
  }

  /** Resolves when the server has everything, with whether it does. */
  async settled() {
    this.isHurried = true;
    await this.#now();
    this.isHurried = false;
    return this.state === "kept";
  }

  /** After a conflict: go on from what the server has, with what we have. */
  resolve(telling) {
    this.revision = telling.revision;
    this.kept = telling.document;
    this.#say("keeping");
    return this.#now();
  }

  /** The document is somewhere else now; nothing is to be kept here. */
  over() {
    clearTimeout(this.timer);
    clearTimeout(this.storing);
    sessionStorage.removeItem(this.place);
    this.state = "over";
  }

  #in(milliseconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#now(), milliseconds);
  }

  #now() {
    clearTimeout(this.timer);
    this.timer = null;
    if (["torn", "gone", "over"].includes(this.state)) return Promise.resolve();
    this.sending ??= this.#send().finally(() => {
      this.sending = null;
    });
    return this.sending;
  }

  async #send() {
    while (this.editor.document !== this.kept) {
      const { document: sent } = this.editor;
      try {
        const telling = await patient(send(this.path, { revision: this.revision, document: sent }, { method: "PUT" }));
        this.#took(telling, sent);
      } catch (problem) {
        await this.#failed(problem, sent);
        return;
      }
      if (this.editor.document !== this.kept && !this.isHurried) {
        this.#in(SOON_MS); // more was typed meanwhile
        return;
      }
    }
    this.wait = FIRST_WAIT_MS;
    clearTimeout(this.storing);
    sessionStorage.removeItem(this.place);
    this.#say("kept");
  }

  #took(telling, sent) {
    const isNow = this.editor.document === sent;
    this.revision = telling.revision;
    if (isNow) {
      this.editor.take(telling);
      this.kept = this.editor.document;
    } else {
      this.kept = sent;
    }
  }

  async #failed(problem, sent) {
    if (problem.code === "sketch_changed") return this.#changedElsewhere(sent);
    if (problem.status === 404) {
      this.#say("gone");
      return this.gone();
    }
    if (problem.status === 401 || problem.status === 403) return this.#again("out");
    if (problem.status === 0 || problem.status >= 500) return this.#again("away");
    return this.#refused(problem.message);
  }

  #again(state) {
    this.#say(state);
    this.#in(this.wait);
    this.wait = Math.min(LONGEST_WAIT_MS, this.wait * 2);
  }

  #refused(message) {
    this.state = "refused";
    this.#write("failed", `Not kept: ${message}`);
  }

  async #changedElsewhere(sent) {
    const telling = await this.#ask();
    if (!telling) return this.#again("away");
    this.revision = telling.revision;
    // Ours, of which the answer was lost; or theirs, but the same.
    if (same(telling.document, sent)) {
      this.kept = sent === this.editor.document ? this.kept : sent;
      return this.#in(0);
    }
    this.#say("torn");
    return this.torn(telling);
  }

  /** Whether another tab has gone on meanwhile: then with what it has. */
  async look() {
    if (this.state !== "kept" || this.sending) return;
    const telling = await this.#ask();
    if (!telling || this.state !== "kept" || telling.revision === this.revision) return;
    const { editor } = this;
    this.revision = telling.revision;
    if (!same(telling.document, editor.document)) editor.history.change(telling.document, ["change of another tab"]);
    editor.take(telling);
    this.kept = editor.document;
    editor.say("Changed in another tab: here is what it has now.");
  }

  async #ask() {
    return patient(send(this.path, undefined, { method: "GET" })).catch(() => null);
  }

  #store() {
    if (this.editor.document === this.kept || this.state === "over") return;
    try {
      sessionStorage.setItem(this.place, JSON.stringify({ revision: this.revision, document: this.editor.document }));
    } catch {
      // Too large for the tab: then there is the server alone.
    }
  }

  #say(state) {
    this.state = state;
    this.#write(...WORDS[state]);
    // Heard only where something is wrong: every change is kept.
    if (!["kept", "keeping"].includes(state)) this.editor.say(WORDS[state][1]);
  }

  #write(shape, words) {
    if (this.word.textContent !== words) this.word.textContent = words;
    this.shape.firstElementChild.setAttribute("href", `#shape-${shape}`);
    this.shape.parentElement.dataset.state = shape === "working" ? "waiting" : shape;
  }
}

/** The answer; a Problem if none comes in time, or another page comes in its place. */
async function patient(answer) {
  const late = new Promise((_, fail) => setTimeout(() => fail(new Problem(0, { code: "late", message: "No answer." })), PATIENCE_MS));
  const told = await Promise.race([answer, late]);
  if (told === null) throw new Problem(401, { code: "not_authenticated", message: SIGNED_OUT });
  return told;
}
