// The answers of a message while they are being given: filled in from the page's templates.

import { Stream } from "../run/stream.js";
import { count, money } from "../run/words.js";

const SHAPES = { waiting: "asks", done: "done", failed: "failed", cancelled: "stopped" };
const SAID = {
  thinking: (who) => `${who} is thinking …`,
  writing: (who) => `${who} is writing …`,
  step: (who, { step, score }) => `${step.label} is at work${round(step)}${last(score)} …`,
  retrying: (who, { step }) => `${step.label} is trying again …`,
  interrupted: () => "Interrupted; another worker takes it up, and it is written anew.",
  waiting: () => "Waiting for an answer",
  answered: (who, { by_whom: by }) => `Going on after the answer of ${by} …`,
  done: (who) => `${who} has answered.`,
  failed: (who, { error }) => `Failed: ${error}`,
  cancelled: (who, { by_whom: by }) => `Cancelled by ${by}.`,
};

/** What is happening to a reply, in one sentence. */
export function sentence(reply, names) {
  if (reply.handoff) return `${nameOf(reply.agent, names)} hands over to ${nameOf(reply.handoff.to, names)}.`;
  return SAID[reply.doing](nameOf(reply.agent, names), reply);
}

export function nameOf(slug, names) {
  return Object.hasOwn(names, slug) ? names[slug] : slug;
}

function round({ iteration }) {
  return iteration ? `, round ${iteration}` : "";
}

function last(score) {
  return score === null ? "" : `, last score ${score} / 10`;
}

/** Draws the replies of one message into `home`. */
export class Answers {
  constructor(home, about) {
    Object.assign(this, { home, about, drawn: [] });
    home.replaceChildren();
  }

  draw({ replies }) {
    replies.forEach((reply, place) => {
      if (reply.handoff && this.drawn[place] instanceof Live) {
        const line = new Handoff(reply, this.about);
        this.drawn[place].element.replaceWith(line.element);
        this.drawn[place] = line;
      }
      if (!this.drawn[place]) {
        this.drawn[place] = new (reply.handoff ? Handoff : Live)(reply, this.about);
        this.home.append(this.drawn[place].element);
      }
      this.drawn[place].draw(reply);
    });
  }
}

class Handoff {
  constructor(reply, { names, why }) {
    this.element = copy("live-handoff");
    set(this.element, "name", nameOf(reply.agent, names));
    set(this.element, "why", why[reply.by]);
    set(this.element, "to", nameOf(reply.handoff.to, names));
    set(this.element, "reason", reply.handoff.reason);
    set(this.element, "used", used(reply.handoff.usage));
    leads(this.element, reply.run);
  }

  draw() {}
}

class Live {
  constructor(reply, { names, why }) {
    this.names = names;
    this.element = copy("live-answer");
    set(this.element, "name", nameOf(reply.agent, names));
    this.element.querySelector("[data-slug]").textContent = reply.agent;
    set(this.element, "why", why[reply.by]);
    leads(this.element, reply.run);
    this.state = this.element.querySelector(".state");
    this.ask = this.element.querySelector("[data-ask]");
    this.stream = new Stream(this.element, this.element.querySelector(".text"));
  }

  draw(reply) {
    this.stream.draw(reply, "");
    const shape = SHAPES[reply.doing] ?? "working";
    this.state.dataset.state = shape;
    this.state.querySelector("use").setAttribute("href", `#shape-${shape}`);
    set(this.element, "sentence", sentence(reply, this.names));
    const asked = reply.gates.map(({ ask }) => ask).filter(Boolean).join(" ");
    if (this.ask.textContent !== asked) this.ask.textContent = asked;
    this.ask.hidden = !asked;
    set(this.element, "run", reply.gates.length ? "Answer it on the page of its run" : "Show the run");
  }
}

/** Tokens and money, as the server writes them. */
function used({ calls, input_tokens: input, output_tokens: output, cost, partial }) {
  if (!calls) return "";
  const least = partial ? "at least " : "";
  const tokens = input === null || output === null ? "unknown" : least + count(input + output);
  return `${tokens} tokens, ${cost === null ? "cost unknown" : least + money(cost)}`;
}

function copy(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

function set(root, name, text) {
  const place = root.querySelector(`[data-${name}]`);
  if (place && place.textContent !== text) place.textContent = text;
}

function leads(root, run) {
  const link = root.querySelector("[data-run]");
  if (run) link.href = `/runs/${run}/`;
  else link.remove();
}
