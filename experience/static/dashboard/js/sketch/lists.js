// The nodes and edges in words, to be chosen without the canvas.

import { called, kindOf, read } from "./document.js";
import { make } from "./fields.js";
import { ends, words } from "./picture.js";

export class Lists {
  constructor(editor) {
    this.editor = editor;
    this.lists = ["node", "edge"].map((part) => {
      const list = document.getElementById(`${part}s`);
      list.addEventListener("click", ({ target }) => {
        const button = target.closest("button");
        if (!button) return;
        editor.select({ part, key: button.dataset.of });
        editor.panel.focus();
      });
      list.addEventListener("keydown", (event) => {
        if (event.key !== "Delete" || !event.target.dataset.of) return;
        event.preventDefault();
        editor.remove({ part, key: event.target.dataset.of });
      });
      return [part, list, document.getElementById(`no-${part}s`)];
    });
  }

  draw() {
    const { editor } = this;
    for (const [part, list, none] of this.lists) {
      const parts = read(editor.document)[`${part}s`];
      none.hidden = parts.length > 0;
      const had = list.contains(document.activeElement);
      while (list.children.length > parts.length) list.lastElementChild.remove();
      if (had && !list.contains(document.activeElement)) list.lastElementChild?.firstChild.focus();
      parts.forEach((each, number) => this.#item(list, number, part, each));
    }
  }

  #item(list, number, part, each) {
    const { editor } = this;
    const item = list.children[number] ?? list.appendChild(make("li", {}, make("button", { type: "button", class: "part" })));
    const button = item.firstChild;
    const faults = editor.faults.of(part, each.key).length;
    const told = part === "node" ? [called(each), kindOf(editor.document, each)] : [...ends(editor.document, each), words(each)];
    const signature = JSON.stringify([told, faults]);
    const isSelected = editor.isSelected(part, each.key);
    if (isSelected) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    button.dataset.of = each.key;
    if (button.dataset.told === signature) return;
    button.dataset.told = signature;
    const names = told.slice(0, -1).map((text) => make("bdi", {}, cutFor(text)));
    button.replaceChildren(
      make("span", { class: "name" }, ...(part === "node" ? names : [names[0], " → ", names[1]])),
      make("span", { class: "grey" }, make("bdi", {}, cutFor(told.at(-1)))),
      ...(faults ? [make("span", { class: "fault" }, faults === 1 ? "1 fault" : `${faults} faults`)] : []),
    );
  }
}

function cutFor(text) {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
