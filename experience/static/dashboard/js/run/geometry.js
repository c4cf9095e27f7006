// Where the parts of the drawing stand, from the grid that the server has laid out: lying, from
// left to right, or standing, from above to below, where there is less room. Pure.

export const WIDTH = 124;
export const HEIGHT = 50;
const EDGE = 12; // around everything
const ENTRY = 22; // before an entry
const HEAD = 7; // of an arrow
const LANE = 26; // between the ways back
const SHRINKS = 1.08; // what is a little too wide is drawn smaller
const LYING = { length: WIDTH, breadth: HEIGHT, gap: 80, row: 30, word: 16 };
const STANDING = { length: HEIGHT, breadth: WIDTH, gap: 42, row: 18, word: 76 };

/** The drawing for a room of this width, in pixels. */
export function drawing(plan, room) {
  const lying = new Drawing(plan, LYING, (along, across) => [along, across]);
  if (lying.width <= room * SHRINKS) return lying;
  const standing = new Drawing(plan, STANDING, (along, across) => [across, along]);
  return standing.width < lying.width ? standing : lying;
}

class Drawing {
  constructor(plan, size, turn) {
    Object.assign(this, { plan, size, turn });
    const [first, last] = plan.rows;
    this.low = EDGE - this.#across(first) + size.breadth / 2;
    const along = plan.columns * (size.length + size.gap) - size.gap + 2 * EDGE + ENTRY;
    this.bottom = this.low + this.#across(last) + size.breadth / 2;
    const across = this.bottom + (plan.lanes ? plan.lanes * LANE + size.word : 0) + EDGE;
    [this.width, this.height] = turn(along, across);
    this.places = Object.fromEntries(plan.nodes.map((node) => [node.id, this.#place(node.spot)]));
    this.lowest = Object.fromEntries(plan.nodes.map((node) => [node.id, node.lowest]));
  }

  #across(row) {
    return row * (this.size.breadth + this.size.row);
  }

  /** The middle of the side where a node is entered. */
  #place([column, row]) {
    const along = EDGE + ENTRY + column * (this.size.length + this.size.gap);
    return { along, across: this.low + this.#across(row) };
  }

  /** The upper left corner of a node. */
  corner(id) {
    const { along, across } = this.places[id];
    return this.turn(along, across - this.size.breadth / 2);
  }

  /** The path of an edge, its arrow's head and where its words stand. */
  edge(edge) {
    return edge.back ? this.#back(edge) : this.#onward(edge);
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
    let here = from.across;
    for (const stop of stops) {
      path += this.#bend(stop.along - gap, here, stop.along, stop.across) + `L${this.#at(stop.along + length, stop.across)}`;
      here = stop.across;
    }
    path += this.#bend(to.along - gap, here, to.along - HEAD, to.across);
    const next = [...stops, to][0];
    return { path, head: this.#head(to.along, to.across), words: this.#words(from, next) };
  }

  #words(from, next) {
    const along = from.along + this.size.length + this.size.gap / 2;
    const across = (from.across + next.across) / 2;
    const [x, y] = this.turn(along, across);
    if (this.size === STANDING) return { x: x + 6, y: y + 2, anchor: "start" };
    return { x, y: from.across === next.across ? y - 6 : y + 4, anchor: "middle" };
  }

  #bend(along, across, toAlong, toAcross) {
    if (across === toAcross) return `L${this.#at(toAlong, toAcross)}`;
    const half = (along + toAlong) / 2;
    return `C${this.#at(half, across)} ${this.#at(half, toAcross)} ${this.#at(toAlong, toAcross)}`;
  }

  #back({ source, target, lane }) {
    const from = this.places[source];
    const to = this.places[target];
    const { length, breadth } = this.size;
    const aside = 8 + 7 * (lane % 4);
    const at = this.bottom + (lane + 1) * LANE - 4;
    const out = this.lowest[source] ? from.along + length / 2 + aside : from.along + length + 10 + aside;
    let path = this.lowest[source]
      ? `M${this.#at(out, from.across + breadth / 2)}`
      : `M${this.#at(from.along + length, from.across)}L${this.#at(out, from.across)}`;
    path += `L${this.#at(out, at)}`;
    const middle = (out + to.along + length / 2) / 2;
    const [x, y] = this.turn(middle, at);
    const words = this.size === STANDING ? { x: x + 6, y: y + 4, anchor: "start" } : { x, y: y + 14, anchor: "middle" };
    if (!this.lowest[target]) {
      const inn = to.along - 14 - aside;
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
