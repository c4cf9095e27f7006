// The council socket of one run, until the end was sent.

import { Line } from "../line.js";

const ENDED = 1000;
const WORDS = {
  first: "Connecting …",
  away: "Reconnecting; the run goes on.",
  many: "Too many windows of yours are open; trying again soon. The run goes on.",
  final: {
    [ENDED]: "",
    4400: "This page and the server do not understand each other. Reload the page.",
    4401: "You are not signed in any more. The run goes on; sign in and reload to watch it.",
    4404: "There is no such run any more, or you may not see it.",
  },
};

/**
 * Follow a run. `position` gives the last `seq` that the page has; `hear` takes each frame; `say`
 * takes the state of the connection in words (empty: all is well). Returns what ends it and what
 * connects it at once.
 */
export function follow(run, { position, hear, say }) {
  return new CouncilLine(run, position, hear, say).follow();
}

class CouncilLine extends Line {
  constructor(run, position, hear, say) {
    super({ words: WORDS, say });
    Object.assign(this, { run, position, hear });
  }

  get address() {
    return `/ws/council/${this.run}?after=${this.position()}`;
  }

  connect() {
    // A page that shows something already is not empty while it waits.
    if (!this.position()) this.say(this.tries ? WORDS.away : WORDS.first);
    super.connect();
  }

  /** Connect again although the end was sent: a failed run may have been retried. */
  again() {
    if (this.isOver && this.code === ENDED) this.connect();
  }

  opened() {}

  take(frame) {
    if (frame.event === "pong") return false;
    if (frame.event === "connected") this.isThere();
    if (frame.event === "error") this.refused(frame);
    this.hear(frame);
    return frame.seq !== undefined && frame.event !== "connected";
  }

  acknowledgement() {
    return { seq: this.position() };
  }
}
