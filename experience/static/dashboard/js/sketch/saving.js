// The sketch becomes a version, or nothing; it comes from a file, or becomes one.

import { send } from "../send.js";
import { isObject, text } from "./document.js";
import { ask, close } from "./choices.js";
import { name, say } from "./say.js";

export class Saving {
  constructor(editor) {
    this.editor = editor;
    this.button = document.getElementById("save");
    this.problem = document.getElementById("problem");
    this.button.addEventListener("click", () => this.save());
    document.getElementById("export").addEventListener("click", () => this.#export());
    this.file = document.getElementById("file");
    document.getElementById("import").addEventListener("click", () => this.file.click());
    this.file.addEventListener("change", () => this.#import());
    this.#discarding();
  }

  draw() {
    const { blueprint } = this.editor.about;
    const { newest } = this.editor.telling;
    const label = blueprint && newest ? `Save as version ${newest + 1}` : "Save as a new blueprint";
    if (this.button.firstChild.data !== `${label} `) this.button.firstChild.data = `${label} `;
  }

  /** Save; what is in the way is said, and shown. `more`: `onto` another version, or `as_new`. */
  async save(more = {}) {
    const { editor } = this;
    if (this.button.disabled) return;
    this.button.disabled = true;
    this.#tell("");
    try {
      if (!(await editor.keeping.settled())) return this.#tell("Not saved: what you have drawn is not kept yet. It is still here; look at the line above the drawing.");
      if (editor.faults.found.length) return this.#refuse();
      const { revision, madeFrom, newest } = editor.telling;
      const body = { revision, onto: madeFrom, as_new: !newest, ...more };
      const { url } = await send(editor.about.urls.save, body);
      editor.keeping.over();
      location.assign(url);
    } catch (problem) {
      this.#refused(problem);
    } finally {
      this.button.disabled = false;
    }
    return undefined;
  }

  #refuse() {
    const { length } = this.editor.faults.found;
    this.#tell(`Not saved: ${length === 1 ? "there is a fault" : `there are ${length} faults`}. It is kept as a sketch; mend ${length === 1 ? "it" : "them"}, then save again.`);
    this.editor.faults.first();
  }

  #refused({ code, message, detail }) {
    if (code === "blueprint_conflict") return this.#conflict(detail);
    if (code === "blueprint_invalid" && detail.faults) {
      this.editor.faults.take(detail.faults);
      this.editor.draw();
      return this.#refuse();
    }
    if (code === "sketch_changed") this.editor.keeping.look();
    return this.#tell(`Not saved: ${message} The sketch is kept.`);
  }

  #conflict({ newest }) {
    const { blueprint } = this.editor.about;
    const since = newest ? `Version ${newest} was` : "A newer version was";
    ask(`${since} saved meanwhile by somebody, or in another tab. Nothing of yours is lost.`,
      ["See that version", () => window.open(blueprint.url, "_blank", "noopener")],
      [newest ? `Save mine as version ${newest + 1} after it` : "Save mine after it", () => this.save({ onto: newest })],
      ["Save mine as a new blueprint", () => this.save({ as_new: true })]);
    return undefined;
  }

  #tell(message) {
    this.problem.textContent = message;
  }

  // --- files ---

  async #import() {
    const [file] = this.file.files;
    this.file.value = "";
    if (!file) return;
    this.#tell("");
    try {
      const found = JSON.parse(await file.text());
      if (!isObject(found) || !("nodes" in found)) throw new SyntaxError("no blueprint");
      close();
      this.editor.replace(found, [name(file.name), " imported"]);
    } catch {
      this.#tell("Not imported: that file holds no blueprint. It has to be JSON, as “Export” makes it. Nothing was changed.");
    }
  }

  #export() {
    const { document: drawn } = this.editor;
    const blob = new Blob([`${JSON.stringify(drawn, null, 2)}\n`], { type: "application/json" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${text(drawn.name).toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "blueprint"}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    say("Exported: ", name(link.download));
  }

  // --- discarding ---

  #discarding() {
    const dialog = document.getElementById("discard-dialog");
    document.getElementById("discard").addEventListener("click", () => dialog.showModal());
    document.getElementById("discard-not").addEventListener("click", () => dialog.close());
    dialog.querySelector("form").addEventListener("submit", () => this.editor.keeping.over());
  }
}
