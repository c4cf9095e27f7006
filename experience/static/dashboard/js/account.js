// A new token: copied by a button, and gone from a page that the browser had kept.

const token = document.getElementById("token");
const copy = document.getElementById("copy");

async function copied() {
  token.select();
  // Without a secure context there is no clipboard; what is selected can be copied by hand.
  const done = await navigator.clipboard?.writeText(token.value).then(() => true, () => false);
  document.getElementById("copied").textContent = done ? "Copied." : "It is selected; copy it with Ctrl C.";
}

if (token) {
  // Reloaded, or come back to, it is the account without the secret; the form is not sent again.
  history.replaceState(null, "", location.pathname);
  copy.hidden = false;
  copy.addEventListener("click", copied);
  token.addEventListener("focus", () => token.select());
  addEventListener("pagehide", () => document.getElementById("secret").remove());
}
