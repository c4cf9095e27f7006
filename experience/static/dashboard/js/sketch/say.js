// The live region: what was done, in words.

const region = document.getElementById("told");
const LONGEST = 60;

/** A name that somebody wrote, to stand in a sentence: it turns nothing around it. */
export function name(text) {
  const signs = [...text];
  return { name: signs.length > LONGEST ? `${signs.slice(0, LONGEST).join("")}…` : text };
}

/** The parts, of strings and names, as nodes of the page. */
export function written(parts) {
  return parts.map((part) => {
    if (typeof part === "string") return part;
    const made = document.createElement("bdi");
    made.textContent = part.name;
    return made;
  });
}

export function say(...parts) {
  region.replaceChildren(...written(parts));
}
