// What pages cannot do by forms and links alone. Every page works without this file.
"use strict";

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-submits]")) event.target.form.requestSubmit();
});

// Copies the command line of the screen.
for (const button of document.querySelectorAll("[data-copies]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copies);
    const text = button.textContent;
    button.textContent = button.dataset.done;
    setTimeout(() => { button.textContent = text; }, 1500);
  });
}

// The line that says that the server does not answer; it goes as soon as it does again.
const lost = document.querySelector(".lost");
document.addEventListener("htmx:sendError", () => { lost.hidden = false; });
document.addEventListener("htmx:afterOnLoad", () => { lost.hidden = true; });

// A report is as tall as what it holds, so that the page scrolls and not a part of it.
for (const frame of document.querySelectorAll("iframe[data-fits]")) {
  const fit = () => {
    const inside = frame.contentDocument && frame.contentDocument.documentElement;
    if (inside) frame.style.height = `${inside.scrollHeight + 4}px`;
  };
  frame.addEventListener("load", () => {
    fit();
    if (frame.contentDocument) new ResizeObserver(fit).observe(frame.contentDocument.body);
  });
  if (frame.contentDocument && frame.contentDocument.readyState === "complete") fit();
}
