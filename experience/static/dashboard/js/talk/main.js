// The page of a conversation: what the socket tells is folded, and drawn at most once per picture
// of the screen.

import { fragment } from "../run/fragment.js";
import { send } from "../send.js";
import { Box, words } from "./box.js";
import { follow } from "./line.js";
import { Place } from "./place.js";
import { Turns } from "./turns.js";

const about = JSON.parse(document.getElementById("talk-data").textContent);
const name = `councilos.said.${about.conversation}`;
const list = document.getElementById("turns");
const cancel = document.getElementById("cancel");
const earlier = document.getElementById("earlier");

let position = about.after;
let isDue = false;

const place = new Place(document.getElementById("box"), document.getElementById("below"), `${name}.place`);
const turns = new Turns(list, about, place, drawSoon);
const box = new Box(document.getElementById("box"), name, ({ message_id: id }) => {
  place.isFollowing = true;
  turns.add(id);
});
// What was sent before a reload may have been taken.
for (const { dataset } of list.children) box.taken(dataset.client);

follow(about.conversation, {
  position: () => position,
  hear(frame) {
    if (frame.data.seq <= position) return; // we have it
    position = frame.data.seq;
    box.taken(frame.data.id);
    turns.take(frame);
    drawSoon();
  },
  say(text) {
    write("line", text);
  },
});

// --- drawing -----------------------------------------------------------------------------

function drawSoon() {
  if (isDue) return;
  isDue = true;
  // A window that nobody sees has no frames.
  if (document.hidden) setTimeout(draw, 250);
  else requestAnimationFrame(draw);
}

function draw() {
  isDue = false;
  turns.draw();
  const { answering, sentence } = turns;
  box.hold(Boolean(answering));
  cancel.hidden = !answering;
  const doing = turns.asks ? "waits at a gate. Answer it, or" : "is answering. Wait for it, or";
  write("doing", answering && `${answering} ${doing}`);
  if (sentence) write("told", sentence);
  document.getElementById("empty")?.toggleAttribute("hidden", Boolean(list.children.length));
}

function write(id, text) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
}

draw();

// --- what the reader does ------------------------------------------------------------------

cancel.addEventListener("click", async () => {
  cancel.disabled = true;
  write("fault", "");
  try {
    await send(`/api/conversations/${about.conversation}/cancel`);
    document.getElementById("text").focus();
  } catch ({ code, message }) {
    // What has just ended is told anyway.
    if (code !== "conversation_idle" && code !== "run_finished") write("fault", `Not cancelled: ${message}`);
  } finally {
    cancel.disabled = false;
  }
});

list.addEventListener("click", (event) => {
  const button = event.target.closest("[data-again]");
  if (button) again(button);
});

/** Say what nobody has answered once more. In whichever window, it is said once. */
async function again(button) {
  const { again: message, surface, agent } = button.dataset;
  const text = button.closest(".turn").querySelector(".words").textContent;
  button.disabled = true;
  write("fault", "");
  try {
    const told = await send(box.form.dataset.path, { text, surface, agent, id: `again-${message}` });
    place.isFollowing = true;
    turns.add(told.message_id);
    document.getElementById("text").focus();
  } catch (problem) {
    write("fault", words(problem));
    button.disabled = false;
  }
}

earlier.addEventListener("click", async (event) => {
  event.preventDefault();
  if (earlier.ariaBusy === "true") return;
  earlier.ariaBusy = "true";
  const first = list.firstElementChild;
  const found = await fragment(`earlier/?before=${first.dataset.number}`);
  const came = found.querySelector(".turns");
  earlier.ariaBusy = null;
  if (!came) return;
  const { before } = came.dataset;
  place.hold(first, () => {
    turns.insert([...came.children]);
    earlier.hidden = !before;
    earlier.querySelector("a").href = `?from=${before}`;
  });
  // So that a reload shows as much.
  history.replaceState(null, "", `?from=${list.firstElementChild.dataset.number}`);
  if (!before) first.querySelector("a, [tabindex]")?.focus({ preventScroll: true });
});
