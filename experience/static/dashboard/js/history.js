// The list of runs: filter at once, tick two to compare them, run one again, and see what goes on.

import { Keys } from "./keys.js";
import { send } from "./send.js";

// --- filters -----------------------------------------------------------------------------

const filters = document.getElementById("filters");
filters.elements.blueprint.addEventListener("change", () => {
  if (filters.elements.version) filters.elements.version.value = ""; // it was another council's
  filters.requestSubmit();
});
// Fields that say nothing need not stand in the address.
filters.addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});

// --- ticks -------------------------------------------------------------------------------

const table = document.querySelector("table[data-rows]");
const compare = document.getElementById("compare");

function ticked() {
  const number = table.querySelectorAll("input[name=run]:checked").length;
  document.getElementById("pick").disabled = number !== 2;
  document.getElementById("pick").classList.toggle("primary", number === 2);
  document.getElementById("picked").textContent =
    number === 0 ? "Tick two runs to compare them."
      : number === 1 ? "One ticked; tick another one."
        : number === 2 ? "Two ticked." : `${number} ticked; leave two.`;
}

if (table) {
  table.addEventListener("change", ticked);
  // A page that comes back from the browser's memory may have ticks.
  addEventListener("pageshow", ticked);
  document.getElementById("picked").setAttribute("role", "status");
  ticked();
  compare.addEventListener("formdata", (event) => {
    const [a, b] = event.formData.getAll("run");
    event.formData.delete("run");
    event.formData.set("a", a);
    event.formData.set("b", b);
  });
}

// --- run one again -----------------------------------------------------------------------

const keys = new Keys();

async function again(button) {
  const fault = document.getElementById("fault");
  const path = `/api/councils/run/${button.dataset.again}/fork`;
  const body = { after: 0 };
  button.disabled = true;
  fault.textContent = "";
  try {
    const { run_id: id } = await send(path, body, { key: keys.of(path, body) });
    location.assign(`/runs/${id}/`);
  } catch (problem) {
    fault.textContent = `It was not run again. ${problem.message}`;
  } finally {
    button.disabled = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-again]");
  if (button) again(button);
});

// --- what goes on --------------------------------------------------------------------------

const EVERY = 4_000; // milliseconds

/** Ask for the rows in which something goes on, and take over what has changed in them. */
async function look() {
  const active = [...table.querySelectorAll("tr[data-goes-on]")];
  if (document.hidden || !active.length) return;
  const query = new URLSearchParams(active.map((row) => ["id", row.id.replace("run-", "")]));
  const answer = await fetch(`${table.dataset.rows}?${query}`).catch(() => null);
  if (!answer?.ok || answer.redirected) return; // away, or signed out: what is shown stays
  const now = new DOMParser().parseFromString(await answer.text(), "text/html");
  const said = active.map((row) => take(row, now.getElementById(row.id))).filter(Boolean);
  if (said.length) document.getElementById("said").textContent = said.join(" ");
}

/** Only cells without anything that can have the focus change; what to say of it, if anything. */
function take(row, now) {
  if (!now) return "";
  const word = row.querySelector(".status .state").textContent;
  for (const cell of row.querySelectorAll("[data-live]")) {
    const other = now.cells[cell.cellIndex];
    if (cell.innerHTML !== other.innerHTML) cell.replaceChildren(...other.cloneNode(true).childNodes);
    cell.title = other.title;
  }
  row.toggleAttribute("data-goes-on", now.hasAttribute("data-goes-on"));
  const became = row.querySelector(".status .state").textContent;
  return became === word ? "" : `${row.querySelector(".topic").textContent}: ${became}.`;
}

if (table?.querySelector("tr[data-goes-on]")) {
  setInterval(look, EVERY);
  document.addEventListener("visibilitychange", look);
}
