// The number beside "Approvals": how many gates wait for the reader, as the server says.

const link = document.querySelector(".bar nav a[data-waiting]");

/** Ask, and show it. Without an answer what was known stays. */
export async function look() {
  if (!link || document.hidden) return;
  const answer = await fetch(link.dataset.waiting, { headers: { Accept: "application/json" } }).catch(() => null);
  if (answer?.ok && !answer.redirected) show((await answer.json()).waiting);
}

function show(waiting) {
  link.replaceChildren(link.firstChild.data.trim());
  if (!waiting) return;
  const count = document.createElement("span");
  count.className = "count";
  const rest = document.createElement("span");
  rest.className = "unseen";
  rest.textContent = " waiting";
  count.append(String(waiting), rest);
  link.append(" ", count);
}

setInterval(look, 10_000);
document.addEventListener("visibilitychange", look);
