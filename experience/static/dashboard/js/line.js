// A socket that comes back: it acknowledges what it has taken, notices a line that was cut, and
// connects again until it is over. What the close codes ask for: docs/reference.md, "Close codes".

const ACK_FRAMES = 32;
const ACK_MS = 250;
const PING_MS = 20_000;
const SILENCE_MS = 12_000; // after a ping, before the line is given up
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 10_000;
const TOO_MANY = 4429;

/**
 * What extends it gives `address` (a path), `opened(socket)`, `take(frame, socket)`, which says
 * whether it was a frame to acknowledge, and `acknowledgement()`. `say` is told the state of the
 * connection in words (empty: all is well): `words.first`, `away`, `many`, and by close code those
 * of `words.final`, after which it does not come back.
 */
export class Line {
  constructor({ words, say }) {
    Object.assign(this, { words, say });
    this.tries = 0;
    this.unacknowledged = 0;
    this.isOver = false;
    this.atEarliest = 0; // when the server wants to see us again
  }

  /** Connect, and again at once when the reader or the network is back. */
  follow() {
    this.connect();
    const wake = () => document.visibilityState === "visible" && this.wake();
    window.addEventListener("online", wake);
    window.addEventListener("pageshow", wake);
    document.addEventListener("visibilitychange", wake);
    return this;
  }

  connect() {
    clearTimeout(this.retry);
    this.isOver = false;
    const address = new URL(this.address, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.onopen = () => this.opened(socket);
    socket.onmessage = ({ data }) => this.#take(socket, JSON.parse(data));
    socket.onclose = ({ code }) => this.#closed(socket, code);
    clearInterval(this.pinging);
    // A line that was cut while the computer slept looks open until somebody asks.
    this.pinging = setInterval(() => this.ping(socket), PING_MS);
  }

  /** The reader is back, or the network is: do not wait any longer. */
  wake() {
    if (this.isOver) return;
    if (this.socket.readyState !== WebSocket.CLOSED) this.ping(this.socket);
    else if (Date.now() >= this.atEarliest) this.connect();
  }

  send(socket, frame) {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
  }

  ping(socket) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.#giveUp(socket), SILENCE_MS);
    this.send(socket, { type: "ping" });
  }

  /** All is well: the next time that it is cut, it comes back soon. */
  isThere() {
    this.tries = 0;
    this.say("");
  }

  /** The server has refused something, and may have said when it wants to be asked again. */
  refused({ detail }) {
    if (detail?.retry_after) this.atEarliest = Date.now() + detail.retry_after * 1000;
  }

  #take(socket, frame) {
    if (socket !== this.socket) return;
    clearTimeout(this.silence);
    if (!this.take(frame, socket)) return;
    this.unacknowledged += 1;
    if (this.unacknowledged >= ACK_FRAMES) this.#acknowledge(socket);
    else this.due ??= setTimeout(() => this.#acknowledge(socket), ACK_MS);
  }

  #acknowledge(socket) {
    this.#settle();
    this.send(socket, { type: "ack", ...this.acknowledgement() });
  }

  #settle() {
    clearTimeout(this.due);
    this.due = undefined;
    this.unacknowledged = 0;
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
    this.#settle();
    this.code = code;
    const final = this.words.final[code];
    if (this.isOver || final !== undefined) {
      this.isOver = true;
      if (final !== undefined) this.say(final);
      return;
    }
    this.say(code === TOO_MANY ? this.words.many : this.words.away);
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.tries) * (0.5 + Math.random() / 2);
    this.tries += 1;
    this.retry = setTimeout(() => this.connect(), Math.max(wait, this.atEarliest - Date.now()));
  }
}
