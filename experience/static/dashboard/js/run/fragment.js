// A part of the page that the server renders.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 8_000;

/** The body of a fragment below the run's address. While the server is away it is asked again. */
export async function fragment(path) {
  for (let wait = FIRST_WAIT_MS; ; wait = Math.min(LONGEST_WAIT_MS, wait * 2)) {
    const answer = await fetch(new URL(path, location.origin + location.pathname)).catch(() => null);
    // Who is signed out is led to another page.
    if (answer?.ok && !answer.redirected) return parsed(await answer.text());
    if (answer && answer.status < 500) return parsed(GONE);
    await new Promise((done) => setTimeout(done, wait));
  }
}

const GONE = '<p class="grey">This cannot be shown any more. Reload the page.</p>';

function parsed(html) {
  return new DOMParser().parseFromString(html, "text/html").body;
}
