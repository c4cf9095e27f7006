// Times in the reader's zone: relative, with the exact one on focus.

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const dayOfYear = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });

/** "just now", "5 min ago", "3 h ago", then the date. */
export function ago(moment, now = new Date()) {
  const seconds = (now - moment) / 1000;
  if (seconds < 45) return "just now";
  if (seconds < 3570) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h ago`;
  return (moment.getFullYear() === now.getFullYear() ? day : dayOfYear).format(moment);
}

/** Write all `<time datetime>` below `root`: those with `data-ago` relative, `data-at` exact. */
export function write(root = document) {
  for (const time of root.querySelectorAll("time[data-at]")) {
    const text = exact.format(new Date(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
  for (const time of root.querySelectorAll("time[data-ago]")) {
    const moment = new Date(time.dateTime);
    const text = ago(moment);
    if (time.textContent !== text) time.textContent = text;
    time.dataset.exact = exact.format(moment);
    time.tabIndex = 0;
  }
}

write();
setInterval(() => write(), 30_000);
