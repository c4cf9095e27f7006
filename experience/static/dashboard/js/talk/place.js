// Where the reader is. Who is at the end follows what is written; who reads above is left there,
// and told that there is more.

const NEAR = 40; // pixels from the end that still count as there

export class Place {
  /** `box` stands at the end, and may grow; `more` leads to the end. */
  constructor(box, more, name) {
    this.more = more;
    this.top = scrollY;
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    addEventListener("pagehide", () => {
      sessionStorage.setItem(name, this.isFollowing ? "end" : "there");
      history.scrollRestoration = this.isFollowing ? "manual" : "auto";
    });
    more.addEventListener("click", () => this.toEnd());
    // Who was reading above is put there again by the browser; a link may lead to a turn.
    this.isFollowing = !location.hash && sessionStorage.getItem(name) !== "there";
    if (this.isFollowing) this.toEnd();
    new ResizeObserver(() => this.isFollowing && this.toEnd()).observe(box);
  }

  /** Change something at the end of the page. */
  keep(change) {
    const before = document.documentElement.scrollHeight;
    change();
    if (this.isFollowing) this.toEnd();
    else if (document.documentElement.scrollHeight > before) this.more.hidden = false;
  }

  /** Change something before what is being read. */
  hold(element, change) {
    const before = element.getBoundingClientRect().top;
    change();
    scrollBy(0, element.getBoundingClientRect().top - before);
  }

  toEnd() {
    this.isFollowing = true;
    this.more.hidden = true;
    scrollTo(0, document.documentElement.scrollHeight);
  }

  #scrolled() {
    const { scrollHeight, clientHeight } = document.documentElement;
    const isThere = scrollHeight - scrollY - clientHeight < NEAR;
    if (isThere || scrollY < this.top) this.isFollowing = isThere;
    if (isThere) this.more.hidden = true;
    this.top = scrollY;
  }
}
