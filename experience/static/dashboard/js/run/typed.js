// What was typed at a gate and not sent: it stays in this window's own storage until the gate is
// closed, so that a reload costs nobody their words.

const FIELDS = "textarea, select, input";

/** Give the form back what was typed into it, and remember from now on what is. */
export function remember(form, gate) {
  for (const [id, value] of Object.entries(read(gate))) {
    const field = form.querySelector(`#${CSS.escape(id)}`);
    if (field) field.value = value;
  }
  form.addEventListener("input", () => {
    write(gate, Object.fromEntries(typed(form).map(({ id, value }) => [id, value])));
  });
}

/** The fields in which something stands that nobody has sent. */
export function typed(form) {
  return [...form.querySelectorAll(FIELDS)].filter(differs);
}

export function forget(gate) {
  attempt(() => sessionStorage.removeItem(key(gate)));
}

function differs(field) {
  return field.tagName === "SELECT" ? field.value !== "" : field.value !== field.defaultValue;
}

function read(gate) {
  return attempt(() => JSON.parse(sessionStorage.getItem(key(gate)))) ?? {};
}

function write(gate, values) {
  attempt(() => sessionStorage.setItem(key(gate), JSON.stringify(values)));
}

function key(gate) {
  return `councilos.gate.${gate}`;
}

/** Storage may be full or forbidden; then nothing is kept, and all else works. */
function attempt(call) {
  try {
    return call();
  } catch {
    return null;
  }
}
