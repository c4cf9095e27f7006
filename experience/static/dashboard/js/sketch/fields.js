// The fields of the form. Each shows a value and gives what was typed; what cannot be understood
// is kept as it was typed, and the server says at its place what is wrong with it.

import { same, text } from "./document.js";

/** Makes elements: `make("p", { class: "hint" }, "text")`. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/**
 * A field. `spec`: `name` (its path in words, by which faults find it), `type`, `label`, `hint`,
 * `unsaid` (what holds when nothing is said), `options`, `empty` (what an empty text is), `late`
 * (tells when it is left, not while it is typed), `key`. `typed` takes the new value.
 */
export function field(spec, typed) {
  return new TYPES[spec.type](spec, typed);
}

class Field {
  constructor(spec, typed) {
    Object.assign(this, { spec, name: spec.name });
    this.id = `field-${spec.name}`;
    this.control = this.build();
    this.hint = make("p", { class: "hint", id: `${this.id}-hint` }, spec.hint || "");
    this.told = make("p", { class: "fault", id: `${this.id}-fault` });
    this.root = this.frame();
    this.control.setAttribute("aria-describedby", `${this.hint.id} ${this.told.id}`);
    const event = spec.late ? "change" : "input";
    this.control.addEventListener(event, () => typed(this.value()));
    if (spec.late) this.control.addEventListener("keydown", ({ key }) => key === "Enter" && typed(this.value()));
  }

  frame() {
    const { label, wide } = this.spec;
    const name = make("label", { for: this.control.id || this.id }, label);
    return make("div", { class: wide ? "field wide" : "field" }, name, this.control, this.spec.hint ? this.hint : null, this.told);
  }

  /** Show a value, unless it is just what stands there. What is typed into a late field is in no
   * document yet, so it stays until the document says something else than it did. */
  show(value) {
    if (this.spec.late && this.shown && same(this.shown.value, value)) return;
    this.shown = { value };
    if (!same(this.value(), value)) this.set(value);
  }

  fault(message) {
    if (this.told.textContent !== message) this.told.textContent = message;
    if (message) this.control.setAttribute("aria-invalid", "true");
    else this.control.removeAttribute("aria-invalid");
  }

  focus() {
    for (let fold = this.root.closest("details:not([open])"); fold; fold = fold.parentElement.closest("details:not([open])")) {
      fold.open = true;
    }
    this.control.focus();
    this.root.scrollIntoView({ block: "nearest" });
  }
}

class Line extends Field {
  build() {
    const { unsaid, list } = this.spec;
    return make("input", { id: this.id, dir: "auto", autocomplete: "off", spellcheck: this.spec.plain ? "false" : undefined, placeholder: unsaid, list });
  }

  value() {
    return this.control.value || this.spec.empty;
  }

  set(value) {
    this.control.value = typeof value === "string" ? value : written(value);
  }
}

class Text extends Line {
  build() {
    const { unsaid, rows = 3 } = this.spec;
    return make("textarea", { id: this.id, dir: "auto", rows, placeholder: unsaid });
  }
}

class NumberField extends Line {
  build() {
    const { unsaid } = this.spec;
    return make("input", { id: this.id, inputmode: "decimal", autocomplete: "off", placeholder: unsaid ?? this.spec.none ?? "not set" });
  }

  value() {
    const typed = this.control.value.trim();
    if (!typed) return undefined;
    const number = Number(typed.replace(/[\s\u202f]/g, "").replace(",", "."));
    return Number.isFinite(number) ? number : this.control.value;
  }
}

class Choice extends Field {
  build() {
    const { options, unsaid } = this.spec;
    this.options = options.map((option) => (typeof option === "string" ? { value: option, label: option } : option));
    return make("select", { id: this.id }, ...this.options.map(({ value, label }) =>
      make("option", { value }, value === unsaid ? `${label} (default)` : label)));
  }

  value() {
    const { value } = this.control;
    return value === "" ? this.spec.empty : this.raw?.has(value) ? this.raw.get(value) : value;
  }

  show(value) {
    const stated = value ?? this.spec.unsaid ?? "";
    if (this.control.value !== stated || !this.shown) this.set(stated);
    this.shown = true;
  }

  set(value) {
    const shown = typeof value === "string" ? value : written(value);
    if (![...this.control.options].some((option) => option.value === shown)) {
      this.raw ??= new Map();
      this.raw.set(shown, value);
      this.control.append(make("option", { value: shown }, `${shown} (unknown)`));
    }
    this.control.value = shown;
  }
}

class Yes extends Field {
  build() {
    return make("input", { id: this.id, type: "checkbox" });
  }

  frame() {
    const label = make("label", { class: "choice", for: this.id }, this.control, make("span", {}, this.spec.label));
    return make("div", { class: "field wide" }, label, this.spec.hint ? this.hint : null, this.told);
  }

  value() {
    return this.control.checked;
  }

  set(value) {
    this.control.checked = value === true;
  }
}

class Lines extends Text {
  value() {
    const lines = this.control.value.split("\n").map((line) => line.trim()).filter(Boolean);
    return lines.length ? lines : undefined;
  }

  build() {
    const made = super.build();
    made.placeholder = (this.spec.unsaid ?? []).join("\n");
    return made;
  }

  set(value) {
    this.control.value = Array.isArray(value) ? value.map((each) => (typeof each === "string" ? each : written(each))).join("\n") : written(value);
  }
}

class Ticks extends Field {
  build() {
    this.boxes = this.spec.options.map((option) => make("input", { type: "checkbox", value: option }));
    const labels = this.boxes.map((box) => make("label", { class: "choice" }, box, make("span", {}, box.value)));
    return make("fieldset", { id: this.id, class: "ticks", tabindex: -1 }, make("legend", {}, this.spec.label), ...labels);
  }

  frame() {
    return make("div", { class: "field wide" }, this.control, this.spec.hint ? this.hint : null, this.told);
  }

  value() {
    return this.boxes.filter((box) => box.checked).map((box) => box.value);
  }

  set(value) {
    for (const box of this.boxes) box.checked = (value ?? this.spec.unsaid ?? []).includes?.(box.value) ?? false;
  }
}

class Json extends Text {
  build() {
    const made = super.build();
    made.classList.add("mono");
    made.dir = "ltr";
    made.spellcheck = false;
    return made;
  }

  value() {
    const typed = this.control.value;
    if (!typed.trim()) return undefined;
    try {
      return JSON.parse(typed);
    } catch {
      return typed;
    }
  }

  set(value) {
    this.control.value = value === undefined || value === null ? "" : text(value) || JSON.stringify(value, null, 2);
  }
}

const TYPES = { line: Line, text: Text, number: NumberField, choice: Choice, yes: Yes, lines: Lines, ticks: Ticks, json: Json };

function written(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "number" || typeof value === "boolean" ? String(value) : JSON.stringify(value);
}
