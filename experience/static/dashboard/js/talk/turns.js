// The column of turns. One that has ended is what the server renders; one under way is drawn from
// what is told of it, and asked for at its end.

import { fragment } from "../run/fragment.js";
import { write } from "../times.js";
import { Answers, nameOf, sentence } from "./answer.js";
import { begin, take } from "./fold.js";

export class Turns {
  /** `place.keep` changes the page without moving what is being read; `changed`: to be drawn. */
  constructor(list, about, place, changed) {
    Object.assign(this, { list, about, place, changed });
    this.live = new Map(); // by message: what is told of it
    for (const item of list.querySelectorAll("[data-live]")) this.#know(item.dataset.message).item = item;
  }

  /** Take a frame of the socket. */
  take(frame) {
    const { message_id: id, seq } = frame.data;
    const known = this.#item(id);
    if (known && known.dataset.live === undefined) return; // it has ended, and stands there
    const turn = this.#know(id);
    take(turn.told, frame, Math.floor(seq / this.about.span));
    if (!turn.item && !turn.isAsked) this.#ask(id, turn);
  }

  /** A message that was just taken: show it, whether or not anything was told of it yet. */
  add(id) {
    if (this.#item(id)) return;
    const turn = this.#know(id);
    if (!turn.isAsked) this.#ask(id, turn);
  }

  draw() {
    for (const [id, turn] of this.live) {
      if (!turn.item || !turn.told.replies.length) continue;
      this.place.keep(() => {
        turn.answers ??= new Answers(turn.item.querySelector(".answers"), this.about);
        turn.answers.draw(turn.told);
      });
      if (turn.told.end && !turn.isAsked) this.#ask(id, turn);
    }
  }

  /** Who is answering now: the name; empty if nobody is. */
  get answering() {
    const turn = [...this.live.values()].findLast(({ told }) => !told.end);
    const reply = turn?.told.replies.at(-1);
    return turn ? (reply ? nameOf(reply.agent, this.about.names) : "An agent") : "";
  }

  /** Whether who is answering waits for a person. */
  get asks() {
    return [...this.live.values()].some(({ told }) => told.replies.at(-1)?.gates.length);
  }

  /** What is happening, or happened last, in one sentence. */
  get sentence() {
    const reply = [...this.live.values()].at(-1)?.told.replies.at(-1);
    return reply ? sentence(reply, this.about.names) : null;
  }

  /** Put these turns, as the server has rendered them, where their numbers belong. */
  insert(items) {
    for (const item of items) {
      const number = Number(item.dataset.number);
      const next = [...this.list.children].find((each) => Number(each.dataset.number) > number);
      this.list.insertBefore(document.adoptNode(item), next ?? null);
      write(item);
    }
  }

  #item(id) {
    return [...this.list.children].find((each) => each.dataset.message === id);
  }

  #know(id) {
    if (!this.live.has(id)) this.live.set(id, { told: begin(), item: null, answers: null, isAsked: false });
    return this.live.get(id);
  }

  /** Ask the server for a turn: for the reader's words at its beginning, for all of it at its end. */
  async #ask(id, turn) {
    turn.isAsked = true;
    const item = (await fragment(`turns/${id}/`)).querySelector(".turn");
    turn.isAsked = false;
    if (!item) return this.live.delete(id); // it was deleted, or we are signed out
    const isOver = item.dataset.live === undefined;
    this.place.keep(() => {
      const old = this.#item(id);
      if (old) old.replaceWith(document.adoptNode(item));
      else this.insert([item]);
      write(item);
    });
    if (isOver) {
      this.live.delete(id);
    } else {
      turn.item = item;
      turn.answers = null;
    }
    this.changed();
    return undefined;
  }
}
