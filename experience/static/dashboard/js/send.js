// REST as the pages use it: one function, and one kind of error.

/** A refusal: `code`, a sentence in `message`, `detail`, the HTTP `status` (0: no answer came). */
export class Problem extends Error {
  constructor(status, { code, message, detail }) {
    super(message);
    Object.assign(this, { status, code, detail: detail ?? {} });
  }
}

/**
 * POST (or `method`) a body as JSON; what was answered. Throws Problem.
 * `key`: an Idempotency-Key, so that the same request sent twice acts once.
 */
export async function send(path, body = undefined, { method = "POST", key } = {}) {
  const headers = { Accept: "application/json", "X-CSRFToken": csrfToken() };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  let answer;
  try {
    answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Problem(0, { code: "unreachable", message: "The server does not answer. Nothing you typed is lost; try again." });
  }
  const told = await answer.json().catch(() => null);
  if (answer.ok) return told;
  if (answer.status === 401 || told?.error?.code === "not_authenticated") {
    throw new Problem(answer.status, {
      code: "not_authenticated",
      message: "You are signed out. Sign in again in another tab, then try again here; nothing you typed is lost.",
    });
  }
  throw new Problem(answer.status, told?.error ?? {
    code: "unavailable",
    message: `The server answered ${answer.status}. Nothing you typed is lost; try again.`,
  });
}

/** The cookie's, for it is another after signing in anew, in whichever tab; else the page's. */
function csrfToken() {
  const cookie = document.cookie.match(/(?:^|;\s*)csrftoken=([^;]+)/);
  return cookie ? cookie[1] : document.querySelector('meta[name="csrf-token"]').content;
}
