// Durations, numbers and money, as the pages write them. What nobody knows is "unknown".

/** `0.4 s`, `38 s`, `1 m 12 s`, `2 h 5 m`, `3 d 4 h`, of milliseconds. */
export function duration(milliseconds) {
  const seconds = Math.max(0, milliseconds) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  return whole(milliseconds);
}

/** The same without parts of seconds, for what is still growing. */
export function whole(milliseconds) {
  const seconds = Math.round(Math.max(0, milliseconds) / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function count(number) {
  return number === null ? "unknown" : String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

export function money(dollars) {
  if (dollars === null) return "unknown";
  return `$${Number(dollars).toPrecision(4).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "")}`;
}

export function score(number) {
  return Number.isInteger(number) ? `${number}.0` : String(Math.round(number * 100) / 100);
}

/** Why a step was broken off, by the `cause` that its event gives. */
export function interruption(cause) {
  if (cause === "reassigned") return "it was taken from its worker";
  return cause === "worker_lost" ? "its worker was lost" : "its worker is stopping";
}
