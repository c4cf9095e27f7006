// From times to places between 0 and 1. While nobody works (a gate over night, a run retried next
// week) time is drawn shorter than it was, so that the work can still be seen. Pure.

const LEAST_MS = 1_000; // a wait that is shorter nobody calls one: it is drawn as long as it was
const SHARE = 0.08; // of the time of work: what a wait takes at most

/** `at(ms)`; `waits`: those drawn shorter, as `{from, to}`; `from`, `to`: the whole. */
export function axis(state, now) {
  const from = time(state.createdAt) ?? now;
  const to = Math.max(from + 1, time(state.end?.at) ?? now);
  const busy = merged(state, from, to);
  const worked = busy.reduce((sum, [begin, end]) => sum + end - begin, 0);
  const most = Math.max(LEAST_MS, worked * SHARE);
  const points = []; // [time, place]
  const waits = [];
  let [here, place] = [from, 0];
  points.push([here, place]);
  for (const [begin, end] of [...busy, [to, to]]) {
    if (begin - here > most) waits.push({ from: here, to: begin });
    place += Math.min(most, begin - here);
    points.push([begin, place]);
    place += end - begin;
    points.push([end, place]);
    here = end;
  }
  return { from, to, waits, at: (moment) => between(points, moment) / (place || 1) };
}

/** When somebody worked, as intervals in their order that do not overlap. */
function merged(state, from, to) {
  const found = state.steps
    .filter((step) => step.startedAt)
    .map((step) => [time(step.startedAt), time(step.endedAt) ?? to])
    .map(([begin, end]) => [clamp(begin, from, to), clamp(end, from, to)])
    .sort((one, other) => one[0] - other[0]);
  const whole = [];
  for (const [begin, end] of found) {
    const last = whole.at(-1);
    if (last && begin <= last[1]) last[1] = Math.max(last[1], end);
    else whole.push([begin, Math.max(begin, end)]);
  }
  return whole;
}

function between(points, moment) {
  const after = points.findIndex(([at]) => at >= moment);
  if (after === 0) return points[0][1];
  if (after < 0) return points.at(-1)[1];
  const [[begin, low], [end, high]] = [points[after - 1], points[after]];
  return end === begin ? high : low + ((high - low) * (moment - begin)) / (end - begin);
}

function clamp(value, least, most) {
  return Math.min(most, Math.max(least, value));
}

export function time(text) {
  return text ? Date.parse(text) : null;
}
