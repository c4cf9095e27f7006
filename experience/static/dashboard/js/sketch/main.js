// The blueprint editor: puts its parts together, and hears the keys of the whole page.

import { Canvas } from "./canvas.js";
import { ask } from "./choices.js";
import { text } from "./document.js";
import { Editor } from "./editor.js";
import { Faults } from "./faults.js";
import { Hands } from "./hands.js";
import { Keeping } from "./keeping.js";
import { Lists } from "./lists.js";
import { Panel } from "./panel.js";
import { Saving } from "./saving.js";
import { Trial } from "./trial.js";

const editor = new Editor(JSON.parse(document.getElementById("sketch-data").textContent));
const part = (id) => document.getElementById(id);

/** The line above: name, and what can be undone. */
class Head {
  draw() {
    const name = text(editor.document.name).slice(0, 300) || "Without a name";
    if (part("name").textContent !== name) part("name").textContent = name;
    part("undo").setAttribute("aria-disabled", String(!editor.history.past.length));
    part("redo").setAttribute("aria-disabled", String(!editor.history.future.length));
  }
}

editor.canvas = new Canvas(editor);
editor.faults = new Faults(editor);
editor.panel = new Panel(editor);
editor.trial = new Trial(editor);
editor.saving = new Saving(editor);
editor.keeping = new Keeping(editor, { torn, gone });
editor.parts = [new Head(), editor.canvas, editor.panel, new Lists(editor), editor.faults, editor.trial, editor.saving];
new Hands(editor, editor.canvas);
editor.take(editor.telling);
editor.keeping.begin();
editor.canvas.fit();

/** Two tabs have changed it: neither is lost, for undoing leads to the other. */
function torn(telling) {
  ask("This sketch was changed in another tab too. Take one of the two; Undo brings back the other.",
    ["Take theirs", () => {
      editor.history.change(telling.document, ["theirs taken"]);
      editor.take(telling);
      editor.keeping.resolve({ ...telling, document: editor.document });
      editor.say("Theirs taken. Undo brings back yours.");
    }],
    ["Keep mine", () => {
      editor.history.under(telling.document, ["theirs"]);
      editor.keeping.resolve(telling);
      editor.draw();
      editor.say("Yours kept. Undo brings back theirs.");
    }]);
}

/** It was saved or discarded elsewhere: what is drawn here can become a new one. */
function gone() {
  ask("This sketch is not there any more: it was saved or discarded in another tab. What you see is still here.",
    ["Go on with it as a new blueprint", () => {
      part("again-document").value = JSON.stringify(editor.document);
      editor.keeping.over();
      part("again").submit();
    }]);
}

part("add").addEventListener("submit", (event) => {
  event.preventDefault();
  editor.add(part("add-kind").value);
});
part("undo").addEventListener("click", () => editor.undo());
part("redo").addEventListener("click", () => editor.redo());
part("tidy").addEventListener("click", () => editor.tidy());
part("whole").addEventListener("click", () => {
  editor.select(null);
  editor.panel.focus();
});

const KEYS = {
  z: (event) => (event.shiftKey ? editor.redo() : editor.undo()),
  y: () => editor.redo(),
  s: () => editor.saving.save(),
};
document.addEventListener("keydown", (event) => {
  const press = (event.ctrlKey || event.metaKey) && !event.altKey && KEYS[event.key.toLowerCase()];
  if (!press || document.querySelector("dialog[open]") || event.target === part("trial-topic")) return;
  event.preventDefault();
  if (event.key.toLowerCase() === "s") document.activeElement?.dispatchEvent(new Event("change", { bubbles: true })); // what is typed late counts
  press(event);
});
