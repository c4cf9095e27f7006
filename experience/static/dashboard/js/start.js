// Start a run by REST; a refusal is shown at its place, and nothing typed is lost.

import { Keys } from "./keys.js";
import { send } from "./send.js";

const form = document.getElementById("start");
const { topic, blueprint, model } = form.elements;
const go = document.getElementById("go");
const longest = Number(form.dataset.longest);
const keys = new Keys();
const LIMITS = ["iterations", "seconds", "tokens", "cost"];

// --- the topic ---------------------------------------------------------------------------

const KEPT = "councilos.topic";
if (!topic.value) topic.value = sessionStorage.getItem(KEPT) ?? "";

const length = () => [...topic.value.trim()].length; // characters, as the server counts

function counted() {
  document.getElementById("count").textContent = length().toLocaleString("fr");
  sessionStorage.setItem(KEPT, topic.value);
  if (length() > longest) fault("topic", `This is ${length() - longest} characters too long; shorten it.`);
  else if (length()) fault("topic", "");
}
topic.addEventListener("input", counted);
counted();

// --- the council ---------------------------------------------------------------------------

const chosen = () => form.querySelector(`.council[data-blueprint="${blueprint.value}"]`);

let asked = 0;
async function estimate() {
  const mine = ++asked;
  const place = document.getElementById("estimate");
  const path = `${chosen().dataset.estimate}?${new URLSearchParams({ model: model.value.trim() })}`;
  const told = await send(path, undefined, { method: "GET" }).catch(() => null);
  if (mine === asked) place.textContent = told?.text ?? "Estimate unknown: the server does not answer.";
}

blueprint?.addEventListener("change", () => {
  for (const each of form.querySelectorAll(".council")) each.hidden = each !== chosen();
  fault("blueprint", "");
  estimate();
});
model.addEventListener("change", estimate);
// A page that comes back from the browser's memory has other choices than the server gave it.
addEventListener("pageshow", (event) => event.persisted && blueprint && blueprint.dispatchEvent(new Event("change")));

// --- what is wrong -------------------------------------------------------------------------

const PLACES = {
  model_unknown: "model", model_not_configured: "model", price_unknown: "cost",
  blueprint_invalid: "blueprint", blueprint_not_found: "blueprint",
};

/** Say what is wrong with a field, or (with an empty text) nothing. */
function fault(name, text) {
  const field = form.elements[name] ?? form.elements.topic;
  document.getElementById(`${name}-fault`).textContent = text;
  field.setAttribute("aria-invalid", String(Boolean(text)));
  return text ? field : null;
}

function clear() {
  for (const name of ["topic", "model", "blueprint", ...LIMITS]) fault(name, "");
  document.getElementById("fault").textContent = "";
}

function tell(problem) {
  const { code, detail, message } = problem;
  const wrong = {
    topic: code === "input_invalid" && detail.length !== undefined ? message : detail.input_topic,
    model: detail.model?.[0]?.length > 1 ? detail.model[0] : undefined,
    [detail.limit]: detail.limit && message,
    [PLACES[code]]: PLACES[code] && message,
  };
  const fields = Object.entries(wrong).map(([name, text]) =>
    text && document.getElementById(`${name}-fault`) ? fault(name, String(text)) : null);
  const first = fields.find(Boolean);
  if (first) return focus(first);
  document.getElementById("fault").textContent = message;
}

function focus(field) {
  if (document.getElementById("more").contains(field)) document.getElementById("more").open = true;
  field.focus();
}

// --- starting ------------------------------------------------------------------------------

/** The limits that were typed; null when one is no number, which is then said there. */
function limits() {
  const found = {};
  let first = null;
  for (const name of LIMITS) {
    const text = form.elements[name].value.trim().replace(/[\s\u202f]/g, "").replace(",", ".");
    if (!text) continue;
    const number = Number(text);
    const whole = name === "iterations" || name === "tokens";
    if (!(number > 0) || (whole && !Number.isInteger(number))) {
      first ??= fault(name, whole ? "A whole number above 0, or nothing." : "A number above 0, or nothing.");
      continue;
    }
    found[name] = name === "seconds" ? number * 60 : number;
  }
  if (first) focus(first);
  return first ? null : found;
}

async function start() {
  if (go.disabled) return;
  clear();
  if (!length()) return focus(fault("topic", "Write what the council should work on."));
  if (length() > longest) return focus(fault("topic", `At most ${longest} characters; shorten it.`));
  const within = limits();
  if (!within) return undefined;
  const body = {
    input_topic: topic.value,
    model: model.value.trim(),
    god_mode: form.elements.mode.value === "god",
    limits: within,
  };
  const path = chosen().dataset.run;
  go.disabled = true;
  try {
    const { run_id: id } = await send(path, body, { key: keys.of(path, body) });
    sessionStorage.removeItem(KEPT);
    location.assign(`/runs/${id}/`);
  } catch (problem) {
    tell(problem);
  } finally {
    go.disabled = false;
  }
  return undefined;
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  start();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    start();
  }
});
