// A try-out run of exactly what is drawn, live beside the canvas: the same fold as on the page of
// a run, shown on the same nodes.

import { Keys } from "../keys.js";
import { send } from "../send.js";
import { begin, fold } from "../run/fold.js";
import { followed, hasEnded, lookOfNode, nodeOf, openGates, title } from "../run/reading.js";
import { sentence } from "../run/sentence.js";
import { follow } from "../run/socket.js";
import { read, same } from "./document.js";

const KEEP = 4_000; // characters of a text that is still growing
const ASKED = "councilos.trial.topic";

export class Trial {
  constructor(editor) {
    this.editor = editor;
    const part = (id) => document.getElementById(id);
    this.form = part("trial");
    this.topic = part("trial-topic");
    [this.go, this.stop, this.clear] = ["trial-go", "trial-stop", "trial-clear"].map(part);
    [this.problem, this.live, this.shape, this.sentence] = ["trial-problem", "trial-live", "trial-shape", "trial-sentence"].map(part);
    [this.line, this.link, this.heading, this.text, this.stale] = ["trial-line", "trial-link", "trial-heading", "trial-text", "trial-stale"].map(part);
    this.keys = new Keys();
    this.topic.value = sessionStorage.getItem(ASKED) ?? "";
    this.topic.addEventListener("input", () => sessionStorage.setItem(ASKED, this.topic.value));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#start();
    });
    this.topic.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.form.requestSubmit();
    });
    this.stop.addEventListener("click", () => this.#stop());
    this.clear.addEventListener("click", () => this.#clear());
  }

  // --- what the canvas asks ---

  /** The look of a node in the trial that is shown; null without one, or if it is not in it. */
  look(id) {
    if (!this.state || !this.ids.has(id)) return null;
    return lookOfNode(this.state, id);
  }

  /** How often an edge was taken. */
  times(id) {
    return this.state?.edges[id]?.times ?? 0;
  }

  draw() {
    if (this.state) this.stale.hidden = same(this.drawn, this.editor.document);
  }

  // --- doing ---

  async #start() {
    const { editor } = this;
    if (this.go.disabled) return;
    this.problem.textContent = "";
    if (!this.topic.value.trim()) return this.#refuse("Write what it should work on.");
    this.go.disabled = true;
    try {
      if (!(await editor.keeping.settled())) return this.#refuse("Not tried: what you have drawn is not kept yet.");
      if (editor.faults.found.length) {
        this.problem.textContent = "Not tried: what is drawn has faults. Mend them first.";
        return editor.faults.first();
      }
      const { telling, document: drawn } = editor;
      const body = { revision: telling.revision, input_topic: this.topic.value };
      const { run_id: id, url } = await send(editor.about.urls.trial, body, { key: this.keys.of(body) });
      this.keys = new Keys(); // the next is another run
      this.#watch(id, url, telling.plan, drawn);
    } catch (problem) {
      this.#refuse(`Not tried: ${problem.message}`);
    } finally {
      this.go.disabled = false;
    }
    return undefined;
  }

  #refuse(message) {
    this.problem.textContent = message;
    this.topic.focus();
  }

  #watch(id, url, routes, drawn) {
    const plan = { ...routes, nodes: routes.nodes.map((node) => ({ ...node, atLimit: atLimit(drawn, node.id) })) };
    Object.assign(this, { run: id, url, drawn, ids: new Set(plan.nodes.map((node) => node.id)), state: begin(plan), shown: null });
    this.link.href = url;
    this.live.hidden = false;
    this.#show();
    follow(id, {
      position: () => (this.run === id ? this.state.seq : 0),
      hear: (frame) => {
        if (this.run !== id) return;
        this.state = fold(this.state, frame);
        this.#showSoon();
      },
      say: (words) => {
        if (this.run === id) this.line.textContent = words;
      },
    });
  }

  async #stop() {
    this.stop.disabled = true;
    try {
      await send(`/api/councils/run/${this.run}/cancel`);
    } catch (problem) {
      this.problem.textContent = problem.message;
    } finally {
      this.stop.disabled = false;
    }
  }

  #clear() {
    Object.assign(this, { run: null, state: null });
    this.live.hidden = true;
    this.editor.draw();
    this.topic.focus();
  }

  // --- showing ---

  #showSoon() {
    if (this.isDue) return;
    this.isDue = true;
    const show = () => {
      this.isDue = false;
      if (this.state) this.#show();
    };
    if (document.hidden) setTimeout(show, 250);
    else requestAnimationFrame(show);
  }

  #show() {
    const { state } = this;
    const told = sentence(state, ["owner"]);
    if (told !== null) write(this.sentence, told);
    else this.#end();
    const shape = SHAPES[state.status];
    this.shape.firstElementChild.setAttribute("href", `#shape-${shape}`);
    this.shape.parentElement.dataset.state = shape;
    this.stop.hidden = hasEnded(state);
    this.clear.hidden = !hasEnded(state);
    write(this.link.firstElementChild, openGates(state).length ? "Open the run to answer" : "Open the run");
    this.#text(followed(state)[0]);
    this.editor.canvas.draw();
    this.draw();
  }

  #text(step) {
    if (!step) return;
    write(this.heading, `${nodeOf(this.state, step.node).label.slice(0, 60)} · ${title(step)}`);
    if (step.result) {
      this.#fetch(`steps/${step.result}/`);
    } else if (this.shown !== step.id || step.text) {
      this.shown = step.id;
      const tail = step.text.length > KEEP ? `… ${step.text.slice(-KEEP)}` : step.text;
      this.text.classList.add("plaintext");
      write(this.text, tail || (step.state === "working" ? "Nothing yet: it is reading." : "Nothing was written."));
      this.text.scrollTop = this.text.scrollHeight;
    }
  }

  /** How it ended, in the server's words. */
  async #end() {
    const run = this.run;
    if (this.told === run) return;
    this.told = run;
    const found = await this.#part("result/");
    if (this.run === run) write(this.sentence, found?.querySelector("[data-told]")?.dataset.told ?? "It has ended.");
  }

  /** The finished text, which the server has made harmless. */
  async #fetch(path) {
    const { run } = this;
    const wanted = `${run} ${path}`;
    if (this.shown === wanted) return;
    this.shown = wanted;
    const found = await this.#part(path);
    if (this.shown !== wanted || !found) return;
    this.text.classList.remove("plaintext");
    this.text.replaceChildren(...found.childNodes);
    this.text.scrollTop = 0;
  }

  async #part(path) {
    const answer = await fetch(this.url + path).catch(() => null);
    if (!answer?.ok || answer.redirected) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html").body;
  }
}

/** What a critic does at its last round. */
function atLimit(drawn, id) {
  return read(drawn).nodes.find((node) => node.key === id)?.raw.settings?.atLimit ?? "continue";
}

const SHAPES = { pending: "waiting", running: "working", paused: "asks", completed: "done", failed: "failed", cancelled: "stopped" };

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
