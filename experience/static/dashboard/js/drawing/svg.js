// Making SVG.

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function set(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The text, cut to about so many letters; one that is twice as wide counts twice. */
export function cut(text, most) {
  let width = 0;
  let kept = "";
  for (const sign of text) {
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{3fffd}]/u.test(sign) ? 2 : 1;
    if (width > most) return `${kept.trimEnd()}…`;
    kept += sign;
  }
  return text;
}

// The sizes of run.css, where the drawing is styled.
export const LABEL = "600 14px";
export const WORD = "12px";
const measure = document.createElement("canvas").getContext("2d");
let family = "";

/** The text, cut to what has room, in pixels of the drawing, in a font of this weight and size. */
export function fit(text, room, font) {
  family ||= getComputedStyle(document.body).fontFamily;
  measure.font = `${font} ${family}`;
  const isTooWide = (part) => measure.measureText(part).width > room;
  const start = cut(text, 60); // no name is shown longer than this
  if (!isTooWide(start)) return start;
  const signs = [...start];
  while (signs.length && isTooWide(`${signs.join("").trimEnd()}…`)) signs.pop();
  return `${signs.join("").trimEnd()}…`;
}
