// Forms that are sent once, files that are dropped, and what is drawn anew as a slider moves.
"use strict";

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    const button = event.submitter || form.querySelector("button");
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    button.setAttribute("aria-disabled", "true");
    if (button.dataset.busy) button.textContent = button.dataset.busy;
  });
}
// A page that comes back from the browser's memory may be sent again.
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// Files that are dropped anywhere on the page go into its form, and are sent at once.
const drop = document.querySelector("form[data-checks]");
if (drop) {
  const chosen = drop.querySelector("input[type=file]");
  chosen.addEventListener("change", () => { if (chosen.files.length) drop.requestSubmit(); });
  for (const kind of ["dragover", "dragenter"]) {
    document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (!event.dataTransfer.files.length) return;
    chosen.files = event.dataTransfer.files;
    drop.requestSubmit();
  });
}
