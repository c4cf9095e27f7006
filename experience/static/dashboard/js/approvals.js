// Decide gates in place. What was decided is shown when the server has said so.

import { send } from "./send.js";
import { write } from "./times.js";
import { look as showWaiting } from "./waiting.js";

const list = document.getElementById("asked");
const DONE = { approve: "Approved by you; the run goes on.", reject: "Rejected by you." };

// --- deciding ----------------------------------------------------------------------------

async function decide(article, action, form) {
  const body = { action, gate_id: article.dataset.gate };
  if (action === "reject") {
    const to = form.elements.next_node?.value;
    const comment = form.elements.comment?.value.trim();
    if (to) body.next_node = to;
    if (comment) body.comment = comment;
  }
  const buttons = [...form.querySelectorAll("button")];
  const fault = form.querySelector(".fault");
  fault.textContent = "";
  for (const button of buttons) button.disabled = true;
  try {
    await send(`/api/councils/run/${article.dataset.run}/approve`, body);
    close(article, DONE[action]);
  } catch (problem) {
    const { code, detail, message } = problem;
    if (code === "gate_answered") return close(article, `Answered by ${detail.by} already: ${detail.action}.`);
    if (code === "gate_not_open" || code === "run_finished") return close(article, "Not asked any more.");
    fault.textContent = `${message} Nothing was decided.`;
    for (const button of buttons) button.disabled = false;
  }
  return undefined;
}

/** The gate is past: leave its topic and one line, and go on to the next. */
function close(article, text) {
  if (article.classList.contains("decided")) return;
  const next = beside(article, 1) ?? beside(article, -1);
  const had = article.contains(document.activeElement);
  article.classList.add("decided");
  for (const part of article.querySelectorAll(":scope > :not(header), .facts")) part.remove();
  const line = document.createElement("p");
  line.textContent = text;
  article.append(line);
  document.getElementById("said").textContent = text;
  showWaiting();
  if (had) (next ?? document.getElementById("main")).focus();
}

list.addEventListener("submit", (event) => {
  event.preventDefault();
  // Pressing Enter in a field decides nothing: only a button says what.
  const action = event.submitter?.value;
  if (action) decide(event.target.closest(".asked"), action, event.target);
});

list.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-opens]");
  if (!opener) return;
  const part = document.getElementById(opener.getAttribute("aria-controls"));
  part.hidden = !part.hidden;
  opener.setAttribute("aria-expanded", String(!part.hidden));
  if (!part.hidden) part.querySelector("select, textarea").focus();
});

// --- the keyboard ------------------------------------------------------------------------

function beside(article, step) {
  const all = [...list.querySelectorAll(".asked:not(.decided)")];
  return all[all.indexOf(article) + step];
}

list.addEventListener("keydown", (event) => {
  const article = event.target;
  if (!article.classList.contains("asked") || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (key === "j") beside(article, 1)?.focus();
  else if (key === "k") beside(article, -1)?.focus();
  else article.querySelector(`[data-key="${CSS.escape(key)}"]`)?.click();
});
document.addEventListener("keydown", (event) => {
  if (event.target === document.body && event.key === "j") list.querySelector(".asked:not(.decided)")?.focus();
});

// --- what others decide meanwhile ----------------------------------------------------------

async function look() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  if (!answer?.ok || answer.redirected) return;
  const now = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const article of list.querySelectorAll(".asked:not(.decided)")) {
    const busy = article.querySelector("button:disabled");
    if (!now.getElementById(article.id) && !busy) close(article, "Answered elsewhere, or not asked any more.");
  }
  for (const article of now.querySelectorAll(".asked")) {
    if (!document.getElementById(article.id)) list.append(document.adoptNode(article)); // newest last
  }
  write(list);
  document.getElementById("none").hidden = Boolean(list.children.length);
  showWaiting();
}
setInterval(look, 10_000);
