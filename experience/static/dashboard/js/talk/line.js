// The agent socket, for one conversation.

import { Line } from "../line.js";

const AGAIN_MS = 2_000; // where the server is there, but not its database
const WORDS = {
  first: "Connecting …",
  away: "Reconnecting; what is being answered goes on.",
  many: "Too many windows of yours are open; trying again soon. What is being answered goes on.",
  gone: "This conversation is not there any more.",
  final: {
    4401: "You are not signed in any more. What is being answered goes on; sign in and reload to read it.",
  },
};

/**
 * Follow a conversation. `position` gives the last `seq` that the page has; `hear` takes each
 * event; `say` takes the state of the connection in words (empty: all is well).
 */
export function follow(conversation, { position, hear, say }) {
  say(WORDS.first);
  return new AgentLine(conversation, position, hear, say).follow();
}

class AgentLine extends Line {
  constructor(conversation, position, hear, say) {
    super({ words: WORDS, say });
    Object.assign(this, { conversation, position, hear });
    this.address = "/api/runtime/agent";
  }

  opened(socket) {
    this.#resume(socket);
    this.ping(socket); // its answer says that we are connected, also where nothing happens
  }

  #resume(socket) {
    this.send(socket, { type: "agent.resume", conversation_id: this.conversation, after: this.position() });
  }

  take(frame, socket) {
    if (frame.type === "error") {
      this.#refused(frame, socket);
      return false;
    }
    this.isThere();
    if (frame.type !== "runtime_event") return false;
    this.hear(frame);
    return true;
  }

  #refused(frame, socket) {
    this.refused(frame);
    if (frame.code === "conversation_not_found") {
      this.isOver = true;
      socket.close();
      this.say(WORDS.gone);
    } else if (frame.code === "unavailable" || frame.code === "internal") {
      this.say(frame.error);
      setTimeout(() => socket === this.socket && this.#resume(socket), AGAIN_MS);
    }
  }

  acknowledgement() {
    return { seq: this.position(), conversation_id: this.conversation };
  }
}
