// The list of runs: filter at once, and run one again with the same settings.

import { Keys } from "./keys.js";
import { send } from "./send.js";

const filters = document.getElementById("filters");
filters.elements.blueprint.addEventListener("change", () => filters.requestSubmit());
// Fields that say nothing need not stand in the address.
filters.addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
});

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
