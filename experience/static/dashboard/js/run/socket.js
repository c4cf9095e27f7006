// The council socket of one run: connects, acknowledges, and comes back with its position until
// the end was sent. What the close codes ask for: docs/reference.md, "Close codes".

const ACK_FRAMES = 32;
const ACK_MS = 250;
const PING_MS = 20_000;
const SILENCE_MS = 12_000; // after a ping, before the line is given up
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 10_000;
const ENDED = 1000;
// Codes after which coming back changes nothing, and what a reader is to know.
const FINAL = {
  4400: "This page and the server do not understand each other. Reload the page.",
  4401: "You are not signed in any more. The run goes on; sign in and reload to watch it.",
  4404: "There is no such run any more, or you may not see it.",
};

/**
 * Follow a run. `position` gives the last `seq` that the page has; `hear` takes each frame; `say`
 * takes the state of the connection in words (empty: all is well). Returns what ends it and what
 * connects it at once.
 */
export function follow(run, { position, hear, say }) {
  const line = new Line(run, position, hear, say);
  line.connect();
  const wake = () => document.visibilityState === "visible" && line.wake();
  window.addEventListener("online", wake);
  window.addEventListener("pageshow", wake);
  document.addEventListener("visibilitychange", wake);
  return line;
}

class Line {
  constructor(run, position, hear, say) {
    Object.assign(this, { run, position, hear, say });
    this.tries = 0;
    this.unacknowledged = 0;
    this.isOver = false;
    this.atEarliest = 0; // when the server wants to see us again
  }

  connect() {
    clearTimeout(this.retry);
    this.isOver = false;
    if (!this.position()) this.say(this.tries ? WORDS.away : WORDS.first);
    const address = new URL(`/ws/council/${this.run}?after=${this.position()}`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.onmessage = ({ data }) => this.#take(socket, JSON.parse(data));
    socket.onclose = ({ code }) => this.#closed(socket, code);
    this.#watch(socket);
  }

  /** The reader is back, or the network is: do not wait any longer. */
  wake() {
    if (this.isOver) return;
    if (this.socket.readyState === WebSocket.CLOSED) {
      if (Date.now() >= this.atEarliest) this.connect();
    } else {
      this.#ping(this.socket);
    }
  }

  /** Connect again although the end was sent: a failed run may have been retried. */
  again() {
    if (this.isOver && this.code === ENDED) this.connect();
  }

  #take(socket, frame) {
    if (socket !== this.socket) return;
    clearTimeout(this.silence);
    if (frame.event === "pong") return;
    if (frame.event === "connected") {
      this.tries = 0;
      this.say("");
    }
    if (frame.event === "error" && frame.detail?.retry_after) {
      this.atEarliest = Date.now() + frame.detail.retry_after * 1000;
    }
    this.hear(frame);
    if (frame.seq !== undefined && frame.event !== "connected") this.#acknowledge(socket);
  }

  #acknowledge(socket) {
    this.unacknowledged += 1;
    if (this.unacknowledged >= ACK_FRAMES) this.#sendAck(socket);
    else this.due ??= setTimeout(() => this.#sendAck(socket), ACK_MS);
  }

  #sendAck(socket) {
    clearTimeout(this.due);
    this.due = undefined;
    this.unacknowledged = 0;
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "ack", seq: this.position() }));
  }

  // A line that was cut while the computer slept looks open until somebody asks.
  #watch(socket) {
    clearInterval(this.pinging);
    this.pinging = setInterval(() => this.#ping(socket), PING_MS);
  }

  #ping(socket) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.#giveUp(socket), SILENCE_MS);
    if (socket.readyState === WebSocket.OPEN) socket.send('{"type": "ping"}');
  }

  #giveUp(socket) {
    socket.onclose = null;
    socket.close();
    this.#closed(socket, 1006);
  }

  #closed(socket, code) {
    if (socket !== this.socket) return;
    clearInterval(this.pinging);
    clearTimeout(this.silence);
    clearTimeout(this.due);
    this.due = undefined;
    this.unacknowledged = 0;
    this.code = code;
    if (code === ENDED || FINAL[code]) {
      this.isOver = true;
      this.say(FINAL[code] ?? "");
      return;
    }
    this.say(code === 4429 ? WORDS.many : WORDS.away);
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.tries) * (0.5 + Math.random() / 2);
    this.tries += 1;
    this.retry = setTimeout(() => this.connect(), Math.max(wait, this.atEarliest - Date.now()));
  }
}

const WORDS = {
  first: "Connecting …",
  away: "Reconnecting; the run goes on.",
  many: "Too many windows of yours are open; trying again soon. The run goes on.",
};
