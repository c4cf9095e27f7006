// The agent socket, for one conversation: connects, says where we are, acknowledges, and comes back
// whenever it is cut. What the close codes ask for: docs/reference.md, "Close codes".

const ACK_FRAMES = 32;
const ACK_MS = 250;
const PING_MS = 20_000;
const SILENCE_MS = 12_000; // after a ping, before the line is given up
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 10_000;
const AGAIN_MS = 2_000; // where the server is there, but not its database
const FINAL = {
  4401: "You are not signed in any more. What is being answered goes on; sign in and reload to read it.",
};
const WORDS = {
  first: "Connecting …",
  away: "Reconnecting; what is being answered goes on.",
  many: "Too many windows of yours are open; trying again soon. What is being answered goes on.",
  gone: "This conversation is not there any more.",
};

/**
 * Follow a conversation. `position` gives the last `seq` that the page has; `hear` takes each
 * event; `say` takes the state of the connection in words (empty: all is well).
 */
export function follow(conversation, { position, hear, say }) {
  const line = new Line(conversation, position, hear, say);
  line.connect();
  const wake = () => document.visibilityState === "visible" && line.wake();
  window.addEventListener("online", wake);
  window.addEventListener("pageshow", wake);
  document.addEventListener("visibilitychange", wake);
}

class Line {
  constructor(conversation, position, hear, say) {
    Object.assign(this, { conversation, position, hear, say });
    this.tries = 0;
    this.unacknowledged = 0;
    this.isOver = false;
    this.atEarliest = 0; // when the server wants to see us again
    say(WORDS.first);
  }

  connect() {
    clearTimeout(this.retry);
    const address = new URL("/api/runtime/agent", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    this.socket = socket;
    socket.onopen = () => this.#begin(socket);
    socket.onmessage = ({ data }) => this.#take(socket, JSON.parse(data));
    socket.onclose = ({ code }) => this.#closed(socket, code);
  }

  /** The reader is back, or the network is: do not wait any longer. */
  wake() {
    if (this.isOver) return;
    if (this.socket.readyState !== WebSocket.CLOSED) this.#ping(this.socket);
    else if (Date.now() >= this.atEarliest) this.connect();
  }

  #begin(socket) {
    this.#resume(socket);
    this.#ping(socket); // its answer says that we are connected, also where nothing happens
    clearInterval(this.pinging);
    // A line that was cut while the computer slept looks open until somebody asks.
    this.pinging = setInterval(() => this.#ping(socket), PING_MS);
  }

  #resume(socket) {
    this.#send(socket, { type: "agent.resume", conversation_id: this.conversation, after: this.position() });
  }

  #take(socket, frame) {
    if (socket !== this.socket) return;
    clearTimeout(this.silence);
    if (frame.type === "error") {
      this.#refused(socket, frame);
      return;
    }
    this.tries = 0;
    this.say("");
    if (frame.type !== "runtime_event") return;
    this.hear(frame);
    this.#acknowledge(socket);
  }

  #refused(socket, { code, error, detail }) {
    if (detail?.retry_after) this.atEarliest = Date.now() + detail.retry_after * 1000;
    if (code === "conversation_not_found") {
      this.isOver = true;
      socket.close();
      this.say(WORDS.gone);
    } else if (code === "unavailable" || code === "internal") {
      this.say(error);
      setTimeout(() => socket === this.socket && this.#resume(socket), AGAIN_MS);
    }
  }

  #acknowledge(socket) {
    this.unacknowledged += 1;
    if (this.unacknowledged >= ACK_FRAMES) this.#sendAck(socket);
    else this.due ??= setTimeout(() => this.#sendAck(socket), ACK_MS);
  }

  #sendAck(socket) {
    this.#settle();
    this.#send(socket, { type: "ack", seq: this.position(), conversation_id: this.conversation });
  }

  #settle() {
    clearTimeout(this.due);
    this.due = undefined;
    this.unacknowledged = 0;
  }

  #ping(socket) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.#giveUp(socket), SILENCE_MS);
    this.#send(socket, { type: "ping" });
  }

  #send(socket, frame) {
    if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
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
    if (this.isOver || FINAL[code]) {
      this.isOver = true;
      if (FINAL[code]) this.say(FINAL[code]);
      return;
    }
    this.say(code === 4429 ? WORDS.many : WORDS.away);
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.tries) * (0.5 + Math.random() / 2);
    this.tries += 1;
    this.retry = setTimeout(() => this.connect(), Math.max(wait, this.atEarliest - Date.now()));
  }
}
