// A blueprint's document and its changes. Pure: each change gives a new document, in which all
// that it does not name is what it was, known here or not. What comes from a file may be anything.

const known = new WeakMap();

/**
 * The nodes and edges that can be edited: `{key, id, index, raw}`. The key is the id, but for
 * those that have none or the id of another; it is good for one state of the document.
 */
export function read(document) {
  if (!known.has(document)) {
    known.set(document, { nodes: parts(document.nodes), edges: parts(document.edges) });
  }
  return known.get(document);
}

function parts(list) {
  const taken = new Set();
  return (Array.isArray(list) ? list : []).flatMap((raw, index) => {
    if (!isObject(raw)) return [];
    const id = text(raw.id);
    const key = id && !taken.has(id) ? id : `\0${index}`;
    taken.add(id);
    return [{ key, id, index, raw }];
  });
}

/** The node or edge of a selection `{part, key}`; undefined if there is none. */
export function find(document, selected) {
  if (!selected) return undefined;
  return read(document)[`${selected.part}s`].find(({ key }) => key === selected.key);
}

export function isObject(value) {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

export function text(value) {
  return typeof value === "string" ? value : "";
}

/** What a node is called; an id that no node has calls itself. */
export function called(node) {
  return text(node.raw.label) || node.id || `Node ${node.index + 1}`;
}

export function calledById(document, id) {
  const node = read(document).nodes.find((each) => each.id === id);
  return node ? called(node) : String(id ?? "") || "?";
}

/** The kind that a node states, or the one that it is without. */
export function kindOf(document, node) {
  if (node.raw.kind !== undefined && node.raw.kind !== null) return String(node.raw.kind);
  const decides = read(document).edges.some(({ raw }) => raw.source === node.id && raw.type === "conditional");
  return decides ? "critic" : "draft";
}

// --- values ------------------------------------------------------------------------------

/** The value at a path of names and numbers; undefined where there is none. */
export function at(whole, path) {
  return path.reduce((value, name) => (value === null ? undefined : value?.[name]), whole);
}

/** The whole with a value at a path; undefined takes it away. */
export function put(whole, [name, ...rest], value) {
  const next = rest.length ? put(isObject(whole?.[name]) || Array.isArray(whole?.[name]) ? whole[name] : {}, rest, value) : value;
  if (Array.isArray(whole)) return whole.with(name, next);
  const { [name]: old, ...others } = whole;
  if (next === undefined) return others;
  return name in whole ? { ...whole, [name]: next } : { ...others, [name]: next };
}

/** Whether two documents, or parts of them, say the same: PostgreSQL keeps no order of names. */
export function same(one, other) {
  if (one === other) return true;
  if (Array.isArray(one)) {
    return Array.isArray(other) && one.length === other.length && one.every((each, at) => same(each, other[at]));
  }
  if (!isObject(one) || !isObject(other)) return false;
  const names = Object.keys(one);
  return names.length === Object.keys(other).length && names.every((name) => name in other && same(one[name], other[name]));
}

/** The document after a change. What it says of its model calls holds for one graph; of another
 *  graph it would be untrue, and is left out. */
export function counted(before, after) {
  if (after.calls === undefined || !same(before.calls, after.calls)) return after;
  return same(shape(before), shape(after)) ? after : put(after, ["calls"], undefined);
}

/** What the number of calls comes from: kinds, rounds and ways, whatever they are called. */
function shape(document) {
  const { nodes, edges } = read(document);
  const place = (id) => nodes.findIndex((node) => node.id === id);
  return [
    nodes.map((node) => [kindOf(document, node), node.raw.settings?.maxIterations ?? null]),
    edges.map(({ raw }) => [place(raw.source), place(raw.target), raw.condition ?? null]),
  ];
}

// --- nodes -------------------------------------------------------------------------------

/** With one more node of a kind, and its key. `position` may be undefined. */
export function withNode(document, kind, position) {
  const { nodes } = read(document);
  const id = free(kind, nodes, "-");
  const label = capital(id.replace("-", " "));
  const node = { id, label, kind, systemPrompt: "", model: "", ...(position && { position }), settings: {} };
  return [appended(document, "nodes", node), id];
}

/** Without a node and the edges that nothing else leads to or from. */
export function withoutNode(document, key) {
  const { nodes, edges } = read(document);
  const { id, index } = nodes.find((node) => node.key === key);
  const isLast = nodes.filter((node) => node.id === id).length === 1;
  const gone = edges.filter(({ raw }) => isLast && id && (raw.source === id || raw.target === id));
  return without(without(document, "nodes", [index]), "edges", gone.map((edge) => edge.index));
}

/** With another id of a node; edges go along. */
export function renamed(document, key, id) {
  const { nodes, edges } = read(document);
  const node = nodes.find((each) => each.key === key);
  let next = put(document, ["nodes", node.index, "id"], id);
  if (!node.id || node.key !== node.id) return next;
  for (const { index, raw } of edges) {
    for (const end of ["source", "target"]) {
      if (raw[end] === node.id) next = put(next, ["edges", index, end], id);
    }
  }
  return next;
}

/** With the positions of `places`, a map from key to `{x, y}`. */
export function placed(document, places) {
  return read(document).nodes.reduce((next, { key, index, raw }) => {
    if (!places.has(key)) return next;
    const { x, y } = places.get(key);
    return put(next, ["nodes", index, "position"], { ...(isObject(raw.position) && raw.position), x, y });
  }, document);
}

/** Without any position, so that it is laid out. */
export function unplaced(document) {
  return read(document).nodes.reduce((next, { index }) => put(next, ["nodes", index, "position"], undefined), document);
}

// --- edges -------------------------------------------------------------------------------

/** With one more edge, and its key. `how`: its type and condition. */
export function withEdge(document, source, target, how) {
  const id = free(`${source}-to-${target}`.slice(0, 290), read(document).edges, "-");
  return [appended(document, "edges", { id, source, target, ...how }), id];
}

export function withoutEdge(document, key) {
  const { index } = read(document).edges.find((edge) => edge.key === key);
  return without(document, "edges", [index]);
}

/** Whether one node leads to another. */
export function leads(document, source, target) {
  const { edges } = read(document);
  const seen = new Set([source]);
  for (const id of seen) {
    for (const { raw } of edges) if (raw.source === id) seen.add(raw.target);
  }
  return seen.has(target);
}

function appended(document, name, part) {
  const list = Array.isArray(document[name]) ? document[name] : [];
  return { ...document, [name]: [...list, part] };
}

function without(document, name, indices) {
  if (!indices.length) return document;
  return { ...document, [name]: document[name].filter((_, index) => !indices.includes(index)) };
}

function free(wanted, list, between) {
  const taken = new Set(list.map(({ id }) => id));
  let name = wanted;
  for (let number = 2; taken.has(name); number += 1) name = `${wanted}${between}${number}`;
  return name;
}

export function capital(word) {
  return word.slice(0, 1).toUpperCase() + word.slice(1);
}
