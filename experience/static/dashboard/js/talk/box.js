// The box for a message. What is typed stays in it, over a reload too, until the server has taken
// it; sent again as it is, it is taken once.

import { fresh } from "../keys.js";
import { send } from "../send.js";

const FIELDS = ["text", "surface", "agent"];

export class Box {
  /** `sent` takes what the server has answered when it took a message. */
  constructor(form, name, sent) {
    Object.assign(this, { form, name, sent });
    this.button = form.querySelector("#send");
    this.fault = form.querySelector("#fault");
    this.isSending = false;
    this.isHeldBack = false;
    this.#restore();
    form.addEventListener("input", () => this.#keep());
    form.addEventListener("change", () => this.#keep());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.#send();
    });
  }

  /** The server has taken the message of this id: it is not to be sent again. */
  taken(id) {
    if (!id || this.kept.id !== id) return;
    for (const name of FIELDS) this.form.elements[name].value = "";
    this.fault.textContent = "";
    this.#keep();
  }

  /** While an agent answers, the next message waits. */
  hold(isHeldBack) {
    this.isHeldBack = isHeldBack;
    this.#draw();
  }

  #restore() {
    this.kept = JSON.parse(sessionStorage.getItem(this.name) ?? "null") ?? { id: "", said: null };
    for (const name of FIELDS) {
      const said = this.kept.said?.[name];
      if (said && !this.form.elements[name].value) this.form.elements[name].value = said;
    }
    this.#keep();
  }

  /** The same message keeps its id, another one gets another. */
  #keep() {
    const said = Object.fromEntries(FIELDS.map((name) => [name, this.form.elements[name].value]));
    if (JSON.stringify(said) !== JSON.stringify(this.kept.said)) this.kept = { id: fresh(), said };
    if (said.text) sessionStorage.setItem(this.name, JSON.stringify(this.kept));
    else sessionStorage.removeItem(this.name);
  }

  async #send() {
    if (this.isSending || this.isHeldBack) return;
    const { text } = this.form.elements;
    if (!text.value.trim()) return this.#complain("Write something first.");
    this.#keep();
    this.#busy(true);
    const { id, said } = this.kept;
    try {
      const told = await send(this.form.dataset.path, { ...said, id });
      this.taken(id);
      this.sent(told);
    } catch (problem) {
      // It may have been taken all the same, and heard of meanwhile.
      if (this.kept.id === id) this.#complain(words(problem));
    } finally {
      this.#busy(false);
    }
    return undefined;
  }

  #complain(sentence) {
    this.fault.textContent = sentence;
    this.form.elements.text.focus();
  }

  #busy(isSending) {
    this.isSending = isSending;
    this.form.elements.text.readOnly = isSending;
    if (isSending) this.fault.textContent = "";
    this.#draw();
  }

  #draw() {
    this.button.disabled = this.isSending || this.isHeldBack;
  }
}

/** Why a message was not sent, and that it is kept. */
export function words({ code, message }) {
  if (code === "not_authenticated") {
    return "Not sent: you are signed out. Sign in again in another tab, then send it again; it is kept here.";
  }
  return code === "unreachable" ? `Not sent. ${message}` : `Not sent: ${message} What you wrote is kept.`;
}
