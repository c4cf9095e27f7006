// What the parts of the page read from the state: no DOM, no clock.

export const ENDED = ["completed", "failed", "cancelled"];

export function hasEnded(state) {
  return ENDED.includes(state.status);
}

export function nodeOf(state, id) {
  return state.plan.nodes.find((node) => node.id === id) ?? { id, label: id, kind: "" };
}

export function stepOf(state, id) {
  return state.steps.find((step) => step.id === id);
}

export function working(state) {
  return state.steps.filter((step) => step.state === "working");
}

export function openGates(state) {
  return hasEnded(state) ? [] : state.gates.filter((gate) => !gate.action);
}

/** Where in the council a gate waits. */
export function where(state, gate) {
  const { label } = nodeOf(state, gate.node);
  if (gate.place === "limit") return `at a limit, before ${label} goes on`;
  if (gate.place === "iterations") return `at the limit of ${label}`;
  return `${gate.place} ${label}`;
}

/** The step that somebody who follows the run sees: those at work, else the newest that has a text. */
export function followed(state) {
  const busy = working(state);
  if (busy.length) return busy;
  const last = state.steps.findLast((step) => step.result) ?? state.steps.at(-1);
  return last ? [last] : [];
}

// A state of a node or a step: its shape (see shapes.html), its colour, its word.
const LOOKS = {
  waiting: ["waiting", "waiting", "waiting"],
  asks: ["asks", "asks", "asks a person"],
  working: ["working", "working", "working"],
  done: ["done", "done", "done"],
  failed: ["failed", "failed", "failed"],
  stopped: ["stopped", "stopped", "stopped"],
  interrupted: ["interrupted", "asks", "interrupted"],
  skipped: ["skipped", "waiting", "skipped"],
};

export function look(state) {
  const [shape, colour, word] = LOOKS[state];
  return { shape, colour, word };
}

export function lookOfStep(step) {
  if (step.state === "done" && step.again) return { ...look("done"), word: "done, taken up again" };
  if (step.state === "working" && step.again) return { ...look("working"), word: `${doing(step)}, taken up again` };
  return step.state === "working" ? { ...look("working"), word: doing(step) } : look(step.state);
}

export function lookOfNode(state, id) {
  if (openGates(state).some((gate) => gate.node === id)) return look("asks");
  const last = state.steps.findLast((step) => step.node === id);
  if (last) return lookOfStep(last);
  return look(hasEnded(state) ? "skipped" : "waiting");
}

function doing(step) {
  if (step.trouble) return "trying again";
  if (!step.text) return "reading";
  return "writing";
}

const TITLES = {
  draft: (step) => `Draft ${step.iteration}`,
  critic: (step) => `Feedback, round ${step.iteration}`,
  writer: () => "Final form",
  answer: () => "Answer",
  review: () => "Review",
  synthesis: () => "Joined answer",
  vote: () => "Vote",
  router: () => "Choice of the way",
  guide: () => "Answer",
};

export function title(step) {
  return TITLES[step.kind]?.(step) ?? `Round ${step.iteration}`;
}

/** The scores so far, in their order. */
export function scores(state) {
  return state.steps.filter((step) => typeof step.score === "number");
}

export function rounds(state) {
  return Math.max(0, ...state.steps.map((step) => step.iteration));
}
