// What is to be drawn of a document: where each node stands, and how each edge goes. The server
// lays out and routes; until it has, nodes stand where the document or the last drawing has them,
// and edges go as they went. Pure but for what it remembers.

import { lying } from "../drawing/geometry.js";
import { calledById, read, text } from "./document.js";
import * as places from "./places.js";

export class Picture {
  constructor() {
    this.places = new Map(); // by key, as positions of the document
    this.routes = new Map(); // by the key of an edge
    this.lowest = new Set();
    this.entries = [];
    this.lanes = 0;
  }

  /** Take what the server says of this very document. */
  route(document, plan) {
    this.routes.clear();
    this.laidOut = new Map();
    if (!plan) return;
    const [left, top] = plan.stated ? plan.origin ?? [0, 0] : [0, 0];
    const scale = lying({ ...plan, origin: [0, 0] });
    const position = (spot) => {
      const { x, y } = scale.position(spot);
      return { x: x + left, y: y + top };
    };
    for (const node of plan.nodes) this.laidOut.set(node.id, position(node.spot));
    const unmatched = [...plan.edges];
    for (const { key, id, raw } of read(document).edges) {
      const at = unmatched.findIndex((edge) => edge.id === id && edge.source === raw.source && edge.target === raw.target);
      if (at < 0) continue;
      const [edge] = unmatched.splice(at, 1);
      this.routes.set(key, { source: edge.source, target: edge.target, back: edge.back, lane: edge.lane, way: (edge.way ?? []).map(position) });
    }
    this.lowest = new Set(plan.nodes.filter((node) => node.lowest).map((node) => node.id));
    this.entries = plan.entries;
    this.lanes = plan.lanes;
  }

  /** Where everything stands now; whether much of it has moved. */
  place(document) {
    const stated = places.stated(document);
    const found = new Map();
    for (const { key } of read(document).nodes) {
      const place = stated?.get(key) ?? this.laidOut?.get(key) ?? this.places.get(key);
      if (place) found.set(key, place);
    }
    // What nobody has placed yet.
    for (const { key } of read(document).nodes) {
      if (!found.has(key)) found.set(key, places.beside(found, null));
    }
    const hasMoved = [...found].some(([key, { x, y }]) => {
      const old = this.places.get(key);
      return old && !stated && (old.x !== x || old.y !== y);
    });
    this.places = found;
    return hasMoved;
  }

  /** The drawing of a document (see drawing/geometry.js), and the edges in it. */
  draw(document) {
    const { nodes, edges } = read(document);
    const spots = lying(EMPTY);
    const known = new Set(nodes.map(({ id }) => id));
    const drawn = edges
      .filter(({ raw }) => known.has(raw.source) && known.has(raw.target))
      .map((edge) => ({ ...edge, route: this.#route(edge, spots) }));
    return {
      edges: drawn,
      entries: this.entries.filter((id) => this.places.has(id)),
      geometry: lying({
        ...EMPTY,
        nodes: nodes.map(({ key }) => ({ id: key, spot: spots.spotOf(this.places.get(key)), lowest: this.lowest.has(key) })),
        edges: drawn.map(({ route }) => route),
        lanes: this.lanes,
      }),
    };
  }

  #route({ key, raw }, spots) {
    const known = this.routes.get(key);
    const fits = known && known.source === raw.source && known.target === raw.target;
    const { back, lane, way } = fits ? known : { back: false, lane: null, way: [] };
    return { source: raw.source, target: raw.target, back, lane, way: way.map((place) => spots.spotOf(place)) };
  }
}

// Its first row is row 0 wherever nodes stand, so that a place of the document is one of the page.
const EMPTY = { nodes: [], edges: [], entries: [], columns: 1, rows: [0, 0], lanes: 0, origin: [0, 0] };

/** What stands at an edge. */
export function words(edge) {
  return edge.raw.type === "conditional" ? text(edge.raw.condition) || "when?" : "";
}

/** An edge in words, for lists and what is read out. */
export function ends(document, edge) {
  return [calledById(document, edge.raw.source), calledById(document, edge.raw.target)];
}
