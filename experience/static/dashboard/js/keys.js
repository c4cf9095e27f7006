// Idempotency keys: the same request sent twice acts once, another one gets another key.

/** A key that nobody has used. `crypto.randomUUID` is missing where the page came by HTTP. */
export function fresh() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Gives a request its key: the same one as long as the request stays the same. */
export class Keys {
  #about = "";
  #key = "";

  of(...request) {
    const about = JSON.stringify(request);
    if (about !== this.#about) [this.#about, this.#key] = [about, fresh()];
    return this.#key;
  }
}
