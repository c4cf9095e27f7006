// The open gates, in the place of the text until they are answered, by whomever.

import { send } from "../send.js";
import { look as showWaiting } from "../waiting.js";
import { fragment } from "./fragment.js";
import { openGates } from "./reading.js";
import { forget, remember, typed } from "./typed.js";
import { whole } from "./words.js";

export class Gates {
  constructor(page) {
    this.page = page;
    this.home = document.getElementById("gates");
    this.sections = new Map();
  }

  draw(state) {
    const open = openGates(state);
    for (const [id, section] of this.sections) {
      if (!open.some((gate) => gate.id === id)) this.#close(section, id, state.gates.find((gate) => gate.id === id));
    }
    for (const { id } of open) {
      if (!this.sections.has(id)) this.#open(id);
    }
  }

  async #open(id) {
    const section = document.createElement("section");
    section.className = "gate";
    section.tabIndex = 0;
    section.setAttribute("aria-label", "Waiting for an answer");
    this.sections.set(id, section);
    showWaiting();
    this.home.append(section);
    section.replaceChildren(...(await fragment(`gates/${id}/`)).childNodes);
    prepare(section, id, (answer) => this.#answer(section, { gate_id: id, ...answer }));
    for (const time of section.querySelectorAll("time[data-at]")) {
      const moment = new Date(time.dateTime);
      time.textContent = `${moment.toLocaleString("en-GB")}, in ${whole(moment - this.page.now())}`;
    }
  }

  #close(section, id, gate) {
    const hadFocus = section.contains(document.activeElement);
    const unsent = "sent" in section.dataset ? [] : typed(section);
    if (unsent.length) section.replaceWith(inVain(gate, unsent));
    else section.remove();
    this.sections.delete(id);
    forget(id);
    showWaiting();
    if (hadFocus) document.getElementById("main").focus();
  }

  async #answer(section, answer) {
    const buttons = section.querySelectorAll("button");
    const fault = section.querySelector(".fault");
    fault.textContent = "";
    for (const button of buttons) button.disabled = true;
    try {
      section.dataset.sent = "";
      await send(`/api/councils/run/${this.page.about.run}/approve`, answer);
    } catch (problem) {
      delete section.dataset.sent;
      // Another's answer may be heard before ours is refused.
      if (!section.isConnected && typed(section).length) this.home.prepend(inVain(problem.detail, typed(section)));
      fault.textContent = problem.code === "gate_answered"
        ? `${problem.detail.by} was first: ${problem.detail.action}.` : problem.message;
      for (const button of buttons) button.disabled = false;
    }
  }
}

/** In the place of a gate that somebody else has answered: the words that came too late. */
function inVain(gate, unsent) {
  const left = document.createElement("section");
  left.className = "gate";
  const told = document.createElement("p");
  const by = document.createElement("bdi");
  by.textContent = gate?.by || "somebody";
  told.append(...(gate?.action ? ["Answered by ", by, ` meanwhile: ${gate.action}.`] : ["Not asked any more."]), " What you had typed was not sent:");
  const away = document.createElement("button");
  away.type = "button";
  away.textContent = "Put away";
  away.addEventListener("click", () => {
    left.remove();
    document.getElementById("main").focus();
  });
  left.append(told, ...unsent.map(copyOf), away);
  return left;
}

function copyOf(field) {
  const copy = document.createElement("textarea");
  copy.readOnly = true;
  copy.dir = "auto";
  copy.rows = 4;
  copy.value = field.tagName === "SELECT" ? field.selectedOptions[0]?.text ?? "" : field.value;
  copy.setAttribute("aria-label", field.labels?.[0]?.textContent ?? "What you had typed");
  return copy;
}

function prepare(section, id, give) {
  const form = section.querySelector("form.answer");
  if (!form) return;
  remember(form, id);
  const part = typed(form)[0]?.closest("[data-part]")?.dataset.part;
  if (part) show(form, part, true);
  for (const opener of form.querySelectorAll("[data-opens]")) {
    opener.addEventListener("click", () => toggle(form, opener.dataset.opens));
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    give(said(form, event.submitter?.value ?? "approve"));
  });
  // Only where the gate has the focus, so that no key means more than it seems.
  section.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input, textarea, select");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    form.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]:not(:disabled)`)?.click();
  });
}

function toggle(form, part) {
  const fieldset = form.querySelector(`[data-part="${part}"]`);
  show(form, part, fieldset.hidden);
  if (!fieldset.hidden) setTimeout(() => fieldset.querySelector("textarea, select")?.focus());
}

/** Open or close one part; the others are closed. */
function show(form, part, isToOpen) {
  for (const fieldset of form.querySelectorAll("[data-part]")) {
    const isOpen = fieldset.dataset.part === part && isToOpen;
    fieldset.hidden = !isOpen;
    form.querySelector(`[data-opens="${fieldset.dataset.part}"]`)?.setAttribute("aria-expanded", String(isOpen));
  }
}

/** The answer as the server takes it: of what can be said beside the action what was said. */
function said(form, action) {
  const filled = (name) => [...form.querySelectorAll(`[data-${name}]`)].filter(isChanged);
  const pairs = (name) => Object.fromEntries(filled(name).map((field) => [field.dataset[name], field.value]));
  if (action === "modify") return { action, modified_state: pairs("modify") };
  if (action === "reject") return form.querySelector("[data-part=reject]") ? { action, ...pairs("reject") } : { action };
  const limits = filled("limit").map((field) => [field.dataset.limit, Number(field.value)]);
  return limits.length ? { action, limits: Object.fromEntries(limits) } : { action };
}

function isChanged(field) {
  if (field.dataset.unchanged !== undefined) return field.value !== "" && field.value !== field.dataset.unchanged;
  return field.tagName === "TEXTAREA" ? field.value !== field.defaultValue : field.value !== "";
}
