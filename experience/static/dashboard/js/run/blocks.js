// Markdown that grows, in blocks: what stands between blank lines, a fenced code as a whole. The
// last is plain text to which more is added; one that is complete the server makes harmless HTML.
// What is shown follows from the text alone, however it was cut into pieces.

import { send } from "../send.js";

const PAUSE_MS = 1_000; // between two requests
const AT_ONCE = 50_000; // characters in a request, but at least one block
const MOST_AT_ONCE = 500; // blocks in a request
const PART = 4_000; // characters of a block that are laid out together
const FENCE = /^ {0,3}(`{3,}|~{3,})(.*)$/s;

export class Blocks {
  /** `changed` is called when blocks have been given their form. */
  constructor(changed) {
    this.changed = changed;
    this.element = document.createElement("div");
    this.element.className = "prose growing";
    this.element.dir = "auto";
    this.element.hidden = true; // until there is something
    this.line = ""; // the last line, which may go on
    this.fence = ""; // what the fenced code we are in was opened with
    this.complete = []; // blocks that are still plain
    this.#open();
  }

  add(text) {
    for (const piece of text.replaceAll("\r", "").split(/(?<=\n)/)) this.#take(piece);
    this.#form();
  }

  /** Nothing more is to be given its form. */
  end() {
    this.complete = [];
  }

  /** A line, its end, or a part of one. */
  #take(piece) {
    const isBlank = piece.trim() === "" && this.line.trim() === "";
    if (isBlank && !this.size && piece.endsWith("\n")) {
      this.line = "";
      return; // more than one blank line between two blocks
    }
    this.line += piece;
    this.pieces.push(piece);
    this.#show(piece);
    if (!piece.endsWith("\n")) return;
    const { line, fence } = this;
    this.line = "";
    const [, marks, rest] = FENCE.exec(line) ?? [];
    if (fence) {
      if (marks?.startsWith(fence) && rest.trim() === "") this.fence = "";
    } else if (marks && !(marks[0] === "`" && rest.includes("`"))) {
      this.fence = marks;
    } else if (line.trim() === "") {
      this.#finish();
    }
  }

  #finish() {
    this.block.textContent = this.pieces.join("").trimEnd();
    if (this.block.textContent) this.complete.push(this.block);
    else this.block.remove();
    this.#open();
  }

  // Each block is of its own, and a long one of several parts, so that little is laid out anew.
  #open() {
    this.pieces = [];
    this.size = 0;
    this.block = document.createElement("p");
    this.block.hidden = true;
    this.element.append(this.block);
    this.#part();
  }

  #part() {
    this.block.classList.toggle("long", this.block.hasChildNodes());
    this.room = PART;
    this.last = document.createTextNode("");
    const part = document.createElement("span");
    part.append(this.last);
    this.block.append(part);
  }

  #show(text) {
    this.size += text.length;
    this.block.hidden = this.element.hidden = false;
    while (text) {
      const end = text.length < this.room ? -1 : text.slice(Math.max(0, this.room)).search(/\s/);
      const fits = end < 0 ? text.length : Math.max(0, this.room) + end + 1;
      this.last.appendData(text.slice(0, fits));
      this.room -= fits;
      if (end >= 0) this.#part();
      text = text.slice(fits);
    }
  }

  async #form() {
    if (this.isForming) return;
    this.isForming = true;
    while (this.complete.length) {
      const some = this.#some();
      const html = await formed(some.map(({ textContent }) => textContent));
      if (html) some.forEach((block, number) => html[number] && block.isConnected && form(block, html[number]));
      else this.complete.unshift(...some.filter(({ isConnected }) => isConnected));
      this.changed();
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
    this.isForming = false;
  }

  #some() {
    let room = AT_ONCE;
    const fitting = this.complete.findIndex((block, number) => {
      room -= block.textContent.length;
      return number === MOST_AT_ONCE || (room < 0 && number > 0);
    });
    return this.complete.splice(0, fitting < 0 ? this.complete.length : fitting);
  }
}

/** HTML by block; none where the server does not want to, null while it is away. */
async function formed(blocks) {
  try {
    return (await send("/prose/", { blocks })).html;
  } catch ({ status }) {
    return status && status < 500 ? [] : null;
  }
}

function form(plain, html) {
  const made = document.createElement("div");
  made.className = "block";
  made.append(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  plain.replaceWith(made);
}
