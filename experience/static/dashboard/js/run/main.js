// The page of a run: what the socket tells is folded into a state, and the parts draw it, at most
// once per picture of the screen.

import { begin, fold } from "./fold.js";
import { hasEnded, stepOf } from "./reading.js";
import { follow } from "./socket.js";
import { Controls } from "./controls.js";
import { Gates } from "./gates.js";
import { Graph } from "./graph.js";
import { Now } from "./now.js";
import { Result } from "./result.js";
import { Score } from "./score.js";
import { Text } from "./text.js";
import { Timeline } from "./timeline.js";

const about = JSON.parse(document.getElementById("run-data").textContent);
const early = Date.parse(about.now) - Date.now(); // the server's clock before ours

let state = about.reused.reduce(fold, begin(about.plan));
let due = null; // the drawing that is to come, as what calls it off
let head = 0; // how far the log reached when we connected

const page = {
  about,
  /** The server's time now, in milliseconds. */
  now: () => Date.now() + early,
  get selected() {
    return new URLSearchParams(location.hash.slice(1)).get("step");
  },
  /** Choose a step everywhere; null: follow the newest. */
  select(id) {
    if (id === this.selected) return;
    history.replaceState(null, "", id ? `#step=${id}` : location.pathname + location.search);
    draw();
  },
};

const parts = [Now, Result, Gates, Text, Graph, Score, Timeline].map((Part) => new Part(page));
const line = follow(about.run, {
  position: () => state.seq,
  hear(frame) {
    if (frame.event === "connected") head = Math.max(head, frame.run.last_seq);
    state = fold(state, frame);
    drawSoon();
  },
  say(words) {
    document.getElementById("line").textContent = words;
  },
});
parts.push(new Controls(page, line));

function drawSoon() {
  // What is past is drawn once it is all there; and a window that nobody sees has no frames.
  const isPast = state.seq < head;
  if (due && (isPast || !due.isPast)) return;
  due?.callOff();
  const [call, callOff] = isPast || document.hidden ? [later, clearTimeout] : [requestAnimationFrame, cancelAnimationFrame];
  const number = call(draw);
  due = { isPast, callOff: () => callOff(number) };
}

function later(call) {
  return setTimeout(call, 250);
}

function draw() {
  due = null;
  const selected = stepOf(state, page.selected) ?? null;
  for (const part of parts) part.draw(state, selected);
}

window.addEventListener("hashchange", draw);
// A failed run may be taken up again, from another window too: then there is more to hear.
document.addEventListener("visibilitychange", () => state.status === "failed" && line.again());
setInterval(() => {
  if (hasEnded(state)) return;
  for (const part of parts) part.tick?.(state);
}, 1000);
