// Where nodes stand, in the units of a document's positions: `{x, y}` of the left side's middle.
// Pure.

import { isObject, read } from "./document.js";

// Of a node, and what of it must be free of others for the document's positions to count: as in
// runtime/blueprints/layout.py.
const WIDTH = 176;
const HEIGHT = 52;
const ROOM = { x: WIDTH + 16, y: HEIGHT + 18 }; // what we leave between two
export const GRID = { x: 16, y: 14 };
const COLUMN = 288;
const ROW = 84;

/** Where the document says that its nodes stand; null if it does not say it of all, or two overlap. */
export function stated(document) {
  const places = new Map();
  for (const { key, raw } of read(document).nodes) {
    const { x, y } = isObject(raw.position) ? raw.position : {};
    if (!Number.isFinite(x) || !Number.isFinite(y)) return null;
    for (const other of places.values()) if (overlap({ x, y }, other, WIDTH, HEIGHT)) return null;
    places.set(key, { x, y });
  }
  return places;
}

function overlap(one, other, width, height) {
  return Math.abs(one.x - other.x) < width && Math.abs(one.y - other.y) < height;
}

export function snapped({ x, y }) {
  return { x: Math.round(x / GRID.x) * GRID.x, y: Math.round(y / GRID.y) * GRID.y };
}

function isFree(places, key, place) {
  for (const [other, taken] of places) {
    if (other !== key && overlap(place, taken, ROOM.x, ROOM.y)) return false;
  }
  return true;
}

/** The free place nearest to the one that is wanted. */
export function nearest(places, key, wanted) {
  for (let far = 0; far < 400; far += 1) {
    const ring = around(wanted, far).filter((place) => isFree(places, key, place));
    if (ring.length) return ring.sort((one, other) => distance(one, wanted) - distance(other, wanted))[0];
  }
  return wanted;
}

function around({ x, y }, far) {
  const found = [];
  for (let step = -far; step <= far; step += 1) {
    found.push([step, -far], [step, far], [-far, step], [far, step]);
  }
  return found.map(([right, down]) => ({ x: x + right * GRID.x, y: y + down * GRID.y }));
}

function distance(one, other) {
  return Math.hypot(one.x - other.x, one.y - other.y);
}

/** The next free place in a direction, by steps of the grid. */
export function onward(places, key, from, [right, down]) {
  let place = from;
  do place = { x: place.x + right * GRID.x, y: place.y + down * GRID.y };
  while (!isFree(places, key, place));
  return place;
}

/** A free place for a new node: right of another one, or below that. */
export function beside(places, key) {
  const from = places.get(key) ?? [...places.values()].at(-1);
  if (!from) return { x: 0, y: 0 };
  for (let row = 0; ; row += 1) {
    const place = { x: from.x + COLUMN, y: from.y + row * ROW };
    if (isFree(places, null, place)) return place;
  }
}
