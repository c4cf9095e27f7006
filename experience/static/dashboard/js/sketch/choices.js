// What only a person can decide: which of two changes counts, what a refused save becomes.

import { make } from "./fields.js";

const place = document.getElementById("choice");

/** Ask above the canvas; each choice is `[label, act]`. Acting, or `close`, takes it away. */
export function ask(question, ...choices) {
  const buttons = choices.map(([label, act]) => {
    const button = make("button", { type: "button" }, label);
    button.addEventListener("click", () => {
      close();
      act();
    });
    return button;
  });
  place.replaceChildren(make("p", {}, question), make("div", { class: "buttons" }, ...buttons));
  place.hidden = false;
  place.scrollIntoView({ block: "nearest" });
}

export function close() {
  place.hidden = true;
  place.replaceChildren();
}
