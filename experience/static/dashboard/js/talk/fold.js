// What is told of a message that is being answered, folded: the same frames, told again, give the
// same. Each reply has a text, which a `void` begins anew, and what it is doing.

/** A message of which nothing was told yet. */
export function begin() {
  return { replies: [], end: null };
}

/** Take the next frame. `number`: of the reply that it is about, in its conversation. */
export function take(turn, { event_type: type, data }, number) {
  let reply = turn.replies.find((each) => each.number === number);
  if (!reply) {
    // Where no run could be made after a hand-over, a reply begins with its end.
    reply = { number, agent: data.agent_id, by: data.routed_by ?? "handoff", run: data.run_id, ...FRESH };
    turn.replies.push(reply);
  }
  TAKE[type]?.(reply, data);
  if (ENDS.has(type)) turn.end = type;
}

const ENDS = new Set(["agent.completed", "agent.failed", "agent.cancelled"]);
const FRESH = { text: "", length: 0, voids: 0, doing: "thinking", step: null, score: null, gates: [], handoff: null };

const TAKE = {
  "agent.token"(reply, { token, offset }) {
    // An offset counts characters; JavaScript counts some of them twice.
    if (offset < reply.length) {
      const kept = [...reply.text].slice(0, offset).join("");
      begun(reply, kept);
    }
    reply.text += token;
    reply.length += [...token].length;
    reply.doing = token ? "writing" : "thinking"; // nothing: the model is asked again
  },
  "agent.node"(reply, { label, state, iteration, score }) {
    if (score !== null) reply.score = score;
    if (state === "started") Object.assign(reply, { doing: "step", step: { label, iteration } });
    if (state === "retried") Object.assign(begun(reply), { doing: "retrying", step: { label, iteration } });
  },
  "agent.interrupted"(reply) {
    begun(reply).doing = "interrupted";
  },
  "agent.waiting"(reply, { gate }) {
    reply.gates.push(gate);
    reply.doing = "waiting";
    begun(reply, gate.current_draft || ""); // what was written until then is in it, or void
  },
  "agent.answered"(reply, { gate, by }) {
    reply.gates = reply.gates.filter((each) => each.gate !== gate);
    Object.assign(reply, { doing: reply.gates.length ? "waiting" : "answered", by_whom: by });
  },
  "agent.handoff"(reply, { to, reason, usage }) {
    reply.handoff = { to, reason, usage };
  },
  "agent.completed"(reply, { response }) {
    if (response.startsWith(reply.text)) reply.text = response;
    else begun(reply, response);
    reply.doing = "done";
  },
  "agent.failed"(reply, { error }) {
    Object.assign(reply, { doing: "failed", gates: [], error });
  },
  "agent.cancelled"(reply, { by }) {
    Object.assign(reply, { doing: "cancelled", gates: [], by_whom: by });
  },
};

/** What was written is void, but for this. */
function begun(reply, text = "") {
  return Object.assign(reply, { text, length: [...text].length, voids: reply.voids + 1 });
}
