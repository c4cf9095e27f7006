// Markdown that grows, in blocks: what stands between blank lines, a fenced code as a whole. The
// last is plain text to which more is added; one that is complete the server makes harmless HTML.

import { send } from "../send.js";

const PAUSE_MS = 1_000; // between two requests
const AT_ONCE = 50_000; // characters in a request, but at least one block
const FENCE = /^ {0,3}(?:```|~~~)/gm;

export class Blocks {
  /** `changed` is called when blocks have been given their form. */
  constructor(changed) {
    this.changed = changed;
    this.element = document.createElement("div");
    this.element.className = "prose growing";
    this.element.dir = "auto";
    this.raw = ""; // of the last block
    this.looked = 0; // so far it has no end
    this.complete = []; // and still plain
    this.#open();
  }

  add(text) {
    this.raw = (this.raw + text).replace(/^\n+/, "");
    for (let end = this.#endOfBlock(); end >= 0; end = this.#endOfBlock()) {
      const block = this.raw.slice(0, end);
      this.last.data = block;
      this.complete.push([this.last.parentElement, block]);
      this.raw = this.raw.slice(end).replace(/^\n+/, "");
      this.looked = 0;
      this.#open();
    }
    const { data } = this.last;
    if (this.raw.startsWith(data)) this.last.appendData(this.raw.slice(data.length));
    else this.last.data = this.raw;
    this.#form();
  }

  /** Nothing more is to be given its form. */
  end() {
    this.complete = [];
  }

  /** Where the last block ends; -1: not yet. */
  #endOfBlock() {
    for (let end; (end = this.raw.indexOf("\n\n", this.looked)) >= 0; this.looked = end + 1) {
      const fences = this.raw.slice(0, end).match(FENCE)?.length ?? 0;
      if (fences % 2 === 0) return end;
    }
    this.looked = Math.max(this.looked, this.raw.length - 1);
    return -1;
  }

  // Of its own, so that only the last is laid out anew.
  #open() {
    this.last = document.createTextNode("");
    const block = document.createElement("p");
    block.append(this.last);
    this.element.append(block);
  }

  async #form() {
    if (this.isForming) return;
    this.isForming = true;
    while (this.complete.length) {
      const some = this.#some();
      const html = await formed(some.map(([, text]) => text));
      if (html) some.forEach(([block], number) => html[number] && block.isConnected && form(block, html[number]));
      else this.complete.unshift(...some.filter(([block]) => block.isConnected));
      this.changed();
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
    this.isForming = false;
  }

  #some() {
    let room = AT_ONCE;
    const fitting = this.complete.findIndex(([, { length }], number) => (room -= length) < 0 && number > 0);
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
