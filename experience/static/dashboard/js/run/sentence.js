// One sentence of what is happening, for the live region: it changes when something happens, not
// with the clock. How a run ended, the server says: see `told`.

import { hasEnded, nodeOf, openGates, where, working } from "./reading.js";
import { interruption } from "./words.js";

/** The sentence; null when the run has ended. `mine`: how gates may name the reader. */
export function sentence(state, mine) {
  if (hasEnded(state)) return null;
  if (state.status === "paused") return asking(state, mine);
  if (state.status === "pending") return waiting(state);
  const busy = working(state);
  if (!busy.length) return state.steps.length ? "Between two steps." : "A worker has taken the run up.";
  return busy.length === 1 ? one(state, busy[0]) : several(state, busy);
}

/** Since when it has been so, as a time of the server; null where that says nothing. */
export function since(state) {
  if (hasEnded(state)) return null;
  if (state.status === "paused") return openGates(state)[0]?.openedAt ?? null;
  return working(state)[0]?.startedAt ?? state.toldAt ?? state.createdAt;
}

export function isMine(gate, mine) {
  return mine.includes("*") || gate.answerers.some((name) => mine.includes(name));
}

function asking(state, mine) {
  const open = openGates(state);
  const own = open.filter((gate) => isMine(gate, mine));
  if (!open.length) return "Going on after an answer.";
  if (!own.length) return `Waiting for the approval of ${open[0].answerers.join(" or ")}, ${where(state, open[0])}.`;
  if (own.length > 1) return `Waiting for your approval at ${own.length} gates.`;
  return `Waiting for your approval, ${where(state, own[0])}.`;
}

function waiting(state) {
  const last = state.steps.at(-1);
  if (last?.state === "interrupted") return `Interrupted: ${interruption(last.cause)}. Another takes the run up; no finished step is done again.`;
  if (state.retries && last?.left) return "Retried: it goes on after the last finished step, as soon as a worker is free.";
  return state.attempt ? "Waiting for a worker to go on." : "Waiting for a worker to take it up.";
}

const DOING = {
  draft: (step) => (step.iteration > 1 ? `is writing draft ${step.iteration}, with the feedback so far` : "is writing the first draft"),
  critic: (step) => `is ${step.text ? "judging" : "reading"} draft ${step.iteration}`,
  writer: () => "is giving the text its final form",
  answer: () => "is writing an answer",
  review: () => "is reviewing the answers",
  synthesis: () => "is joining the answers",
  vote: () => "is counting the votes",
  router: () => "is choosing the way",
  guide: () => "is answering",
};

function one(state, step) {
  const { label } = nodeOf(state, step.node);
  if (step.trouble) return `${label} tries again, for the ${ordinal(step.tries)} time: ${step.trouble}`;
  const doing = DOING[step.kind]?.(step) ?? "is working";
  return `${label} ${doing} …`;
}

function several(state, busy) {
  const names = busy.map((step) => nodeOf(state, step.node).label);
  if (names.length > 4) return `${names.length} members are working at the same time …`;
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)} are working at the same time …`;
}

function ordinal(number) {
  return { 1: "1st", 2: "2nd", 3: "3rd" }[number] ?? `${number}th`;
}
