// Import: choosing a file is enough.

const form = document.getElementById("importing");
form.classList.add("at-once");
form.elements.file.addEventListener("change", () => {
  if (form.elements.file.files.length) form.submit();
});
// A page that comes back from the browser's memory has the file of last time.
addEventListener("pageshow", () => form.reset());
