// What was done, to be undone and done again. A step: the document after it, what was done in
// words (`told`), and what was selected. Pure but for itself: it knows no page.

const MOST = 300; // steps; documents share all that did not change

export class History {
  constructor(document) {
    this.past = [];
    this.now = { document, told: [], selected: null };
    this.future = [];
  }

  get document() {
    return this.now.document;
  }

  /** One step more. Those of one `field` without another between them, and unsealed, are one. */
  change(document, told, { selected = null, field = null } = {}) {
    const goesOn = field !== null && field === this.now.field;
    if (!goesOn) this.past = [...this.past, this.now].slice(-MOST);
    this.now = { document, told, selected, field };
    this.future = [];
  }

  /** What comes is a step of its own, even in the same field. */
  seal() {
    this.now = { ...this.now, field: null };
  }

  /** The step that was undone; null if there is none. */
  undo() {
    if (!this.past.length) return null;
    const undone = this.now;
    this.future = [undone, ...this.future];
    this.now = { ...this.past.at(-1), field: null };
    this.past = this.past.slice(0, -1);
    return undone;
  }

  /** The step that was done again; null if there is none. */
  redo() {
    if (!this.future.length) return null;
    const [again, ...rest] = this.future;
    this.past = [...this.past, { ...this.now, field: null }];
    this.now = again;
    this.future = rest;
    return again;
  }

  /** The same step with another document: the server has written it otherwise. */
  amend(document) {
    this.now = { ...this.now, document };
  }

  /** A step that somebody else has made, below the present one: undoing leads to it. */
  under(document, told) {
    this.past = [...this.past, { document, told, selected: null, field: null }].slice(-MOST);
    this.seal();
  }
}
