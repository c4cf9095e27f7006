// Where the parts of the drawing stand, from the grid that the server has laid out: lying, from
// left to right, or standing, from above to below, where there is less room. A spot is a column
// and a row of that grid, and may be a fraction: where the blueprint states positions. Pure.

export const WIDTH = 124;
export const HEIGHT = 50;
const EDGE = 12; // around everything
const ENTRY = 22; // before an entry
const HEAD = 7; // of an arrow
const LANE = 26; // between the ways back
const WORDS = 15; // between the words of ways back that stand beside each other
const BESIDE = 4; // between a node and the ways back that go round it
const APART = 6; // between nodes, however near each other they are stated
const SHRINKS = 1.08; // what is a little too wide is drawn smaller
const SHRINKS_ARRANGED = 1.25;
const LYING = { length: WIDTH, breadth: HEIGHT, gap: 80, row: 30, word: 16 };
const STANDING = { length: HEIGHT, breadth: WIDTH, gap: 42, row: 18, word: 76 };
// A document's position is in pixels of the server's drawing (runtime.blueprints.placing).
const COLUMN_IN_DOCUMENT = 288;
const ROW_IN_DOCUMENT = 84;
const WIDE = 0.61; // columns: as wide as a node is there
const CLEARLY = 0.72; // columns from one node to another that stands clearly to its right
const PASSING = 6; // so that an edge down and one up do not lie upon each other

/**
 * The drawing for a room of this width, in pixels. It may be wider than the room: scale it.
 * What somebody has arranged lies as they did as long as one can read it.
 */
export function drawing(plan, room) {
  const flat = new Drawing(plan, LYING, across, closest(plan, LYING));
  if (flat.width <= room * (plan.stated ? SHRINKS_ARRANGED : SHRINKS)) return flat;
  const standing = new Drawing(plan, STANDING, down, closest(plan, STANDING));
  return standing.width < flat.width ? standing : flat;
}

/** The drawing from left to right, however wide, each node exactly where its spot says. */
export function lying(plan) {
  return new Lying(plan, LYING, across, usual(LYING));
}

const across = (along, aside) => [along, aside];
const down = (along, aside) => [aside, along];

class Drawing {
  /** `step`: how far it is from one column, and one row, to the next. */
  constructor(plan, size, turn, step) {
    Object.assign(this, { plan, size, turn, step });
    // The plan's own rows, not those of its nodes: while one is dragged the others stay.
    this.low = EDGE - plan.rows[0] * step.row + size.breadth / 2;
    this.places = Object.fromEntries(plan.nodes.map((node) => [node.id, this.#place(node.spot)]));
    this.lowest = Object.fromEntries(plan.nodes.map((node) => [node.id, node.lowest]));
    const last = Math.max(plan.rows[1], ...plan.nodes.map((node) => node.spot[1]));
    this.bottom = this.low + last * step.row + size.breadth / 2;
    [this.width, this.height] = turn(this.#length(), this.#breadth());
  }

  #length() {
    const { plan, size, step } = this;
    const column = Math.max(plan.columns - 1, ...plan.nodes.map((node) => node.spot[0]));
    const nodes = column * step.column + size.length + 2 * EDGE + ENTRY;
    return Math.max(nodes, ...plan.edges.map((edge) => this.#reach(edge)));
  }

  #breadth() {
    const { plan, size } = this;
    return this.bottom + (plan.lanes ? plan.lanes * LANE + size.word : 0) + EDGE;
  }

  /** How far a way back stands out. */
  #reach({ source, back, lane }) {
    if (!back || this.lowest[source]) return 0;
    return this.places[source].along + this.size.length + BESIDE + asideOf(lane) + EDGE / 2;
  }

  /** The middle of the side where a node is entered. */
  #place([column, row]) {
    return { column, along: EDGE + ENTRY + column * this.step.column, across: this.low + row * this.step.row };
  }

  /** The upper left corner of a node. */
  corner(id) {
    const { along, across } = this.places[id];
    return this.turn(along, across - this.size.breadth / 2);
  }

  /** The path of an edge, its arrow's head and where its words stand. */
  edge(edge) {
    if (edge.back) return this.#back(edge);
    return this.#over(this.places[edge.source], this.places[edge.target]) ?? this.#onward(edge);
  }

  entry(id) {
    const { along, across } = this.places[id];
    const path = `M${this.#at(along - ENTRY, across)}L${this.#at(along - HEAD, across)}`;
    return { path, head: this.#head(along, across) };
  }

  #at(along, across) {
    return this.turn(along, across).join(" ");
  }

  #head(along, across) {
    return `M${this.#at(along, across)}L${this.#at(along - HEAD, across - 4)}L${this.#at(along - HEAD, across + 4)}z`;
  }

  #onward({ source, target, way }) {
    const from = this.places[source];
    const to = this.places[target];
    const { length, gap } = this.size;
    const stops = way.map((spot) => this.#place(spot));
    let path = `M${this.#at(from.along + length, from.across)}`;
    let here = from;
    for (const stop of stops) {
      path += this.#bend(here, stop.along - gap, stop.along, stop.across) + `L${this.#at(stop.along + length, stop.across)}`;
      here = stop;
    }
    path += this.#bend(here, to.along - gap, to.along - HEAD, to.across);
    return { path, head: this.#head(to.along, to.across), words: this.#words(from, stops, to) };
  }

  #words(from, stops, to) {
    const { length, gap } = this.size;
    const next = [...stops, to][0];
    const room = Math.max(next.along - from.along - length, 0);
    const isOver = this.size === LYING && stops.length > 0 && room < gap / 2;
    const isStraight = isOver || from.across === next.across || room > gap + 1;
    const along = isOver ? next.along + length / 2 : from.along + length + Math.min(room, gap) / 2;
    const line = isOver ? next.across : from.across;
    const [x, y] = this.turn(along, isStraight ? line : (from.across + next.across) / 2);
    if (this.size === STANDING) return { x: x + 6, y: y + 2, anchor: "start" };
    return { x, y: isStraight ? y - 6 : y + 4, anchor: "middle" };
  }

  /** To a node of the same column: straight across, or to one that stands aside after a turn. */
  #over(from, to) {
    if (to.column - from.column >= CLEARLY) return null;
    const { length, breadth } = this.size;
    const sign = Math.sign(to.across - from.across);
    const middle = to.along + length / 2;
    const turns = middle > from.along + length + HEAD;
    if (Math.abs(to.across - from.across) < breadth + HEAD) return null;
    if (!turns && Math.abs(to.along - from.along) > length * 0.75) return null;
    const along = turns ? middle : (from.along + to.along + length) / 2 - sign * PASSING;
    const begin = turns ? from.across : from.across + (sign * breadth) / 2;
    const end = to.across - (sign * breadth) / 2;
    const start = turns
      ? `M${this.#at(from.along + length, from.across)}L${this.#at(along, from.across)}`
      : `M${this.#at(along, begin)}`;
    const tip = end - sign * HEAD;
    const head = `M${this.#at(along, end)}L${this.#at(along - 4, tip)}L${this.#at(along + 4, tip)}z`;
    const [x, y] = this.turn(along, (begin + end) / 2);
    const words = this.size === STANDING ? { x, y: y - 6, anchor: "middle" } : { x: x + 6, y: y + 4, anchor: "start" };
    return { path: `${start}L${this.#at(along, tip)}`, head, words };
  }

  /** From the end of a spot to another row: straight on, and over to it from `along` on. */
  #bend(from, along, toAlong, toAcross) {
    if (from.across === toAcross) return `L${this.#at(toAlong, toAcross)}`;
    const start = Math.max(from.along + this.size.length, along);
    const half = (start + toAlong) / 2;
    return `L${this.#at(start, from.across)}C${this.#at(half, from.across)} ${this.#at(half, toAcross)} ${this.#at(toAlong, toAcross)}`;
  }

  #back({ source, target, lane }) {
    const from = this.places[source];
    const to = this.places[target];
    const { length, breadth } = this.size;
    const aside = asideOf(lane);
    const at = this.bottom + (lane + 1) * LANE - 4;
    const out = this.lowest[source] ? from.along + length / 2 + aside : from.along + length + BESIDE + aside;
    let path = this.lowest[source]
      ? `M${this.#at(out, from.across + breadth / 2)}`
      : `M${this.#at(from.along + length, from.across)}L${this.#at(out, from.across)}`;
    path += `L${this.#at(out, at)}`;
    const middle = (out + to.along + length / 2) / 2;
    const [x, y] = this.turn(middle, at);
    const beside = 4 + WORDS * (lane - (this.plan.lanes - 1) / 2);
    const words = this.size === STANDING ? { x: x + 6, y: y + beside, anchor: "start" } : { x, y: y + 14, anchor: "middle" };
    if (!this.lowest[target]) {
      const inn = to.along - BESIDE - aside;
      path += `L${this.#at(inn, at)}L${this.#at(inn, to.across)}L${this.#at(to.along - HEAD, to.across)}`;
      return { path, head: this.#head(to.along, to.across), words };
    }
    const inn = to.along + length / 2 - aside;
    const side = to.across + breadth / 2;
    path += `L${this.#at(inn, at)}L${this.#at(inn, side + HEAD)}`;
    const head = `M${this.#at(inn, side)}L${this.#at(inn - 4, side + HEAD)}L${this.#at(inn + 4, side + HEAD)}z`;
    return { path, head, words };
  }
}

class Lying extends Drawing {
  /** The spot of a node whose upper left corner is here: the inverse of `corner`. */
  spotAt(x, y) {
    return [(x - EDGE - ENTRY) / this.step.column, (y + HEIGHT / 2 - this.low) / this.step.row];
  }

  /** What a document states of a node that stands there: `{x, y}`, in whole pixels. */
  position([column, row]) {
    const [x, y] = this.plan.origin;
    return { x: Math.round(column * COLUMN_IN_DOCUMENT + x), y: Math.round(row * ROW_IN_DOCUMENT + y) };
  }

  /** The spot of what a document states: the inverse of `position`, but for the rounding. */
  spotOf({ x, y }) {
    const [left, top] = this.plan.origin;
    return [(x - left) / COLUMN_IN_DOCUMENT, (y - top) / ROW_IN_DOCUMENT];
  }
}

/** So that two ways back do not lie upon each other. */
function asideOf(lane) {
  return 8 + 7 * (lane % 4);
}

function usual({ length, breadth, gap, row }) {
  return { column: length + gap, row: breadth + row };
}

/**
 * The usual steps; of positions that a blueprint states, those with which the nodes that are
 * nearest to each other stand as near as they usually do, and none lies upon another.
 */
function closest({ nodes, stated }, size) {
  const { column, row } = usual(size);
  if (!stated) return { column, row };
  const { columns, rows } = nearest(nodes);
  return {
    column: Math.max(column / Math.max(columns, 1), (size.length + APART) / columns),
    row: Math.max(row / Math.max(rows, 1), (size.breadth + APART) / rows),
  };
}

/** How many columns are between two nodes at least, or rows where they stand in one column. */
function nearest(nodes) {
  const columns = [];
  const rows = [];
  nodes.forEach(({ spot: [column, row] }, number) => {
    for (const { spot } of nodes.slice(number + 1)) {
      const between = Math.abs(spot[0] - column);
      if (between >= WIDE) columns.push(between);
      else rows.push(Math.abs(spot[1] - row));
    }
  });
  return { columns: least(columns), rows: least(rows) };
}

function least(numbers) {
  return numbers.length ? numbers.reduce((one, other) => Math.min(one, other)) : 1;
}
