// The page's state, folded from the frames of the council socket (docs/reference.md). Pure: no
// DOM, no clock, nothing changed in place; the same frames give the same state, whether they came
// one by one or as a replay, in which finished nodes have no tokens any more.

/** The state before the first frame. `plan`: the nodes and edges that will be watched. */
export function begin(plan) {
  return {
    plan,
    seq: 0,
    status: "pending",
    attempt: 0,
    limits: {},
    createdAt: null,
    // When the last thing was told that stays in every log: no token, and no end.
    toldAt: null,
    // One for each beginning of a node, in their order; `id` is its `seq`.
    steps: [],
    // By edge: how often it was taken, and which result of its source it has carried.
    edges: Object.fromEntries(plan.edges.map(({ id }) => [id, { times: 0, carried: 0 }])),
    // By node: how often it has finished, and what it decided last.
    results: {},
    gates: [],
    // What the list of steps shows, in its order: `{step}` or `{gate}`, by their ids.
    order: [],
    interruptions: 0,
    retries: 0,
    usage: { calls: 0, input: 0, output: 0, cost: 0, scripted: false },
    end: null,
  };
}

/** The state after a frame. One that it has had already changes nothing. */
export function fold(state, frame) {
  const tell = TOLD[frame.event];
  if (!tell || (frame.seq !== undefined && !frame.step && frame.seq <= state.seq)) return state;
  const next = tell(state, frame);
  if (frame.step || frame.seq === undefined) return next;
  const toldAt = MOVES.has(frame.event) ? frame.at ?? null : next.toldAt;
  return { ...next, seq: frame.seq, toldAt };
}

const MOVES = new Set(["run_created", "run_started", "run_interrupted", "node_start", "node_retry",
  "node_complete", "node_failed", "node_stopped", "run_paused", "gate_answered", "run_resumed", "run_retried"]);

const TOLD = {
  run_created: (state, frame) => ({ ...state, limits: frame.limits ?? {}, createdAt: frame.at ?? null }),
  run_started: (state, frame) => ({ ...state, status: "running", attempt: frame.attempt }),
  run_interrupted: interrupted,
  node_start: started,
  node_token: wrote,
  node_retry: (state, frame) => ofNode(state, frame.node, (step) => ({
    ...unsaid(step), tries: frame.next_try, trouble: frame.message,
  })),
  node_complete: completed,
  node_failed: (state, frame) => ofNode(state, frame.node, (step) => ({
    ...over(unsaid(step), "failed", frame), trouble: frame.message, took: frame.duration_ms, result: resultOf(frame),
  })),
  node_stopped: (state, frame) => ofNode(state, frame.node, (step) => ({
    ...over(unsaid(step), "stopped", frame), limit: frame.limit,
  })),
  run_paused: paused,
  gate_answered: answered,
  run_resumed: (state) => ({ ...state, status: "pending" }),
  run_retried: retried,
  run_complete: (state, frame) => ended(state, frame, "completed"),
  run_failed: (state, frame) => failed(ended(state, frame, "failed"), frame, frame.at ?? null),
  run_cancelled: (state, frame) => ended(state, frame, "cancelled"),
};

// --- nodes ---

function started(state, frame) {
  const step = {
    id: frame.step ?? String(frame.seq),
    node: frame.node,
    kind: frame.kind,
    iteration: frame.iteration,
    model: frame.model,
    state: "working",
    // Whether an earlier worker was lost at this very step.
    again: newest(state, frame.node)?.state === "interrupted",
    reused: frame.step !== undefined,
    startedAt: frame.at ?? null,
    firstAt: null,
    endedAt: null,
    text: "",
    // How often what stood there became void, so that a reader of `text` knows when to begin anew.
    voids: 0,
    tries: 1,
    trouble: "",
  };
  const order = [...state.order, { step: step.id }];
  return { ...state, steps: [...state.steps, step], order, edges: travelled(state, frame.node) };
}

/** The edges that led here: from sources whose last result none of their edges here has carried. */
function travelled(state, node) {
  const edges = { ...state.edges };
  for (const edge of state.plan.edges) {
    const result = state.results[edge.source];
    if (edge.target !== node || !result || result.times <= edges[edge.id].carried) continue;
    if (!leads(state.plan, edge, result.decision)) continue;
    edges[edge.id] = { times: edges[edge.id].times + 1, carried: result.times };
  }
  return edges;
}

function leads(plan, edge, decision) {
  if (edge.condition === null || edge.condition === decision) return true;
  // At a limit a critic that is to go on does so as if it had approved.
  const source = plan.nodes.find(({ id }) => id === edge.source);
  const isLimit = decision !== "approve" && decision !== "revise";
  return source?.atLimit === "continue" && isLimit && edge.condition === "approve";
}

function wrote(state, frame) {
  return ofNode(state, frame.node, (step) => ({
    ...step, text: step.text + frame.text, firstAt: step.firstAt ?? frame.at ?? null, trouble: "",
  }));
}

function completed(state, frame) {
  const { usage } = frame;
  const before = state.results[frame.node]?.times ?? 0;
  const decision = frame.output.decision ?? null;
  const next = ofNode(state, frame.node, (step) => ({
    ...over(step, "done", frame),
    // The log keeps no tokens of a finished node, so how long the first took it must say itself.
    firstAt: null,
    waited: frame.first_token_ms ?? null,
    text: "",
    trouble: "",
    result: resultOf(frame),
    score: frame.score ?? null,
    decision,
    took: frame.duration_ms,
    model: frame.model || step.model,
    usage,
    cut: frame.cut ?? false,
  }));
  const results = { ...state.results, [frame.node]: { times: before + 1, decision } };
  return { ...next, results, usage: frame.step ? state.usage : spent(state.usage, frame) };
}

function spent(sum, { usage, scripted }) {
  const add = (one, other) => (one === null || other === null || other === undefined ? null : one + Number(other));
  return {
    calls: sum.calls + usage.calls,
    input: add(sum.input, usage.input_tokens),
    output: add(sum.output, usage.output_tokens),
    cost: add(sum.cost, usage.cost),
    scripted: sum.scripted || scripted,
  };
}

/** By what the server is asked for the text of a finished step. */
function resultOf(frame) {
  return frame.step ?? String(frame.seq);
}

/** A step of which what it had said is void. */
function unsaid(step) {
  return { ...step, text: "", voids: step.voids + 1, firstAt: null };
}

function over(step, state, frame) {
  return { ...step, state, endedAt: frame.at ?? null };
}

function newest(state, node) {
  return state.steps.findLast((step) => step.node === node);
}

/** The state with the node's step under way changed; as it is if there is none. */
function ofNode(state, node, change) {
  const at = state.steps.findLastIndex((step) => step.node === node && step.state === "working");
  return at < 0 ? state : { ...state, steps: state.steps.with(at, change(state.steps[at])) };
}

function unfinished(state, change) {
  return state.steps.map((step) => (step.state === "working" ? change(step) : step));
}

// --- the run ---

function interrupted(state, frame) {
  const steps = unfinished(state, (step) => ({ ...over(unsaid(step), "interrupted", frame), cause: frame.cause }));
  return { ...state, status: "pending", steps, interruptions: state.interruptions + 1 };
}

function paused(state, frame) {
  if (state.gates.some(({ id }) => id === frame.gate.gate)) return state;
  const { gate, node, place, answerers, opened_at } = frame.gate;
  const opened = { id: gate, node, place, answerers, openedAt: opened_at, answeredAt: null, action: "", by: "" };
  return { ...state, status: "paused", gates: [...state.gates, opened] };
}

function answered(state, frame) {
  const gates = state.gates.map((gate) => (gate.id === frame.gate
    ? { ...gate, action: frame.action, by: frame.by, said: frame.answer ?? {}, answeredAt: frame.at ?? null } : gate));
  const order = [...state.order, { gate: frame.gate }];
  return { ...state, gates, order, edges: frame.answer?.next_node ? unused(state, frame) : state.edges };
}

/** Whoever sends a run elsewhere after a node takes what it has said off its own edges. */
function unused(state, frame) {
  const edges = { ...state.edges };
  for (const edge of state.plan.edges) {
    const carried = state.results[edge.source]?.times ?? 0;
    if (edge.source === frame.node) edges[edge.id] = { ...edges[edge.id], carried };
  }
  return edges;
}

function ended(state, frame, status) {
  const { event, run_id, seq, at, final_draft, ...end } = frame;
  const steps = unfinished(state, (step) => over(step, "stopped", frame));
  return { ...state, status, steps, end: { seq, at: at ?? null, ...end } };
}

/** What a failure has left: also a replay, which is not sent a failure that was retried, comes to this. */
function failed(state, { node, error }, at) {
  const steps = state.steps.map((step) => {
    const broken = step.state === "working" || (step.state === "stopped" && !step.limit && !step.left);
    if (!broken) return step;
    const its = node ? step.node === node : true;
    return { ...step, state: its ? "failed" : "stopped", left: state.retries + 1, endedAt: at, trouble: its ? error : "" };
  });
  return { ...state, steps };
}

function retried(state, frame) {
  const left = (step) => ({ ...unsaid(step), endedAt: state.toldAt });
  const { steps } = failed(state, frame, null);
  const gates = state.gates.map((gate) => (gate.action ? gate : { ...gate, action: "dropped", answeredAt: state.toldAt }));
  return {
    ...state,
    status: "pending",
    steps: steps.map((step) => (step.left === frame.retry ? left(step) : step)),
    gates,
    retries: frame.retry,
    end: null,
  };
}
