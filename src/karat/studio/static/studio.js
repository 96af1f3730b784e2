// What pages cannot do by forms and links alone. Every page works without this file.
"use strict";

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-submits]")) event.target.form.requestSubmit();
});

// On a phone the tabs of a run do not fit: the one that is open is in sight.
const tab = document.querySelector(".tabs [aria-current]");
if (tab) tab.parentNode.scrollLeft = tab.offsetLeft - (tab.parentNode.clientWidth - tab.offsetWidth) / 2;

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
function fitted(frame) {
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
document.querySelectorAll("iframe[data-fits]").forEach(fitted);
document.addEventListener("htmx:load", (event) => event.target.querySelectorAll("iframe[data-fits]").forEach(fitted));

// A job that runs: whatever happens to it, the part of the page that holds its mark is fetched anew, at most once in a
// second. A browser that lost the server connects again by itself and names the last event that it had.
let events = null;
let asked = "";
function follow() {
  const mark = document.querySelector("[data-events]");
  const wanted = mark ? mark.dataset.events : "";
  if (wanted === asked) return;
  if (events) events.close();
  events = null;
  asked = wanted;
  if (!mark) return;
  const source = new EventSource(wanted);
  events = source;
  let due = null;
  const happened = () => {
    due = due || setTimeout(() => {
      due = null;
      const part = document.querySelector("[hx-trigger='happened']");
      if (part) htmx.trigger(part, "happened");
    }, 1000);
  };
  for (const kind of ["state", "message", "point", "sample"]) source.addEventListener(kind, happened);
  source.addEventListener("open", () => { lost.hidden = true; happened(); });
  source.addEventListener("error", () => setTimeout(() => {
    if (source === events && source.readyState !== EventSource.OPEN) lost.hidden = false;
  }, 2000));
}
follow();
document.addEventListener("htmx:afterSettle", follow);

// A button that is pressed stays until it is let go: a click on one that was replaced meanwhile would be lost.
document.addEventListener("htmx:beforeSwap", (event) => {
  const part = event.detail.target;
  if (!part.matches("[hx-trigger='happened']") || !document.querySelector("button:active")) return;
  event.detail.shouldSwap = false;
  setTimeout(() => htmx.trigger(part, "happened"), 300);
});

// What a training would cost, while its minutes are changed.
document.addEventListener("input", (event) => {
  const price = document.querySelector(`[data-from="${event.target.id}"]`);
  if (!price) return;
  const amount = Number(price.dataset.price) * Number(event.target.value);
  const shown = price.querySelector("[data-amount]");
  shown.textContent = shown.dataset.amount.replace("1.00", amount < 1 ? amount.toPrecision(2) : amount.toFixed(2));
});

// Files and folders that are dropped or chosen are sent at once, some hundred in a request.
const BATCH = 200;
async function* within(entry, path) {
  if (entry.isFile) yield [await new Promise((done, fail) => entry.file(done, fail)), path + entry.name];
  else {
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((done, fail) => reader.readEntries(done, fail));
      if (!some.length) return;
      for (const inner of some) yield* within(inner, `${path}${entry.name}/`);
    }
  }
}
async function send(form, files) {
  const said = form.querySelector(".sent");
  const kept = files.filter(([, path]) => !path.split("/").some((part) => part.startsWith(".")));
  let into = "";
  let place = "";
  try {
    for (let i = 0; i < kept.length; i += BATCH) {
      said.textContent = form.dataset.sending.replace("{n}", i).replace("{all}", kept.length);
      const body = new FormData();
      if (into) body.append("into", into);
      if (kept.length > 1) body.append("many", "yes");
      for (const [file, path] of kept.slice(i, i + BATCH)) body.append("files", file, path);
      const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(answer.statusText);
      ({ into, place } = await answer.json());
    }
    if (place) location.assign(`/data/look?place=${encodeURIComponent(place)}`);
  } catch (error) {
    said.textContent = `${form.dataset.failed} ${error.message}`;
  }
}
for (const form of document.querySelectorAll("[data-drop]")) {
  form.addEventListener("change", (event) => {
    const files = [...event.target.files].map((file) => [file, file.webkitRelativePath || file.name]);
    if (files.length) send(form, files);
  });
  form.addEventListener("dragover", (event) => { event.preventDefault(); form.classList.add("over"); });
  form.addEventListener("dragleave", () => form.classList.remove("over"));
  form.addEventListener("drop", async (event) => {
    event.preventDefault();
    form.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    const files = [];
    for (const entry of entries) for await (const found of within(entry, "")) files.push(found);
    if (files.length) send(form, files);
  });
}
