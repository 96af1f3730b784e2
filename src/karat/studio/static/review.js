// Review: one key an item. What is pressed is kept in this browser until the server has written it down.
"use strict";

(() => {
  const root = document.querySelector("[data-review]");
  if (!root) return;
  const AHEAD = 6, BEHIND = 3, BATCH = 100, SLOWEST = 5000;
  const { address, query } = root.dataset;
  const prefix = `karat-press ${root.dataset.store} `;
  const words = JSON.parse(root.dataset.words);
  const total = Number(root.dataset.total);
  const find = (selector) => root.querySelector(selector);
  const place = find("[data-look]"), beside = find("[data-near]"), bar = find("progress"), count = find("[data-count]"), said = find("[data-said]");
  const dialog = document.querySelector("[data-mend]"), body = dialog.querySelector("[data-mend-body]");
  const single = find("[data-single]"), lost = document.querySelector(".lost");
  const parts = { look: new Map(), near: new Map() };  // elements by position, ready to be shown, or null while they come
  let position = Number(root.dataset.position);
  let since = 0;  // when what is looked at came to the screen; 0 while nothing is there
  let sending = false, pause = 500, opened = 0;

  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const say = (text) => { said.textContent = text; };

  // What comes next is fetched before it is asked for.
  async function fetched(kind, at) {
    const kept = parts[kind];
    if (kept.has(at)) return;
    kept.set(at, null);
    try {
      const answer = await fetch(`${address}/${kind}/${at}?${query}`);
      if (!answer.ok) throw new Error(String(answer.status));
      const box = document.createElement("template");
      box.innerHTML = await answer.text();
      const element = document.importNode(box.content, true).firstElementChild;
      const picture = element.querySelector("img");
      if (picture) await picture.decode().catch(() => {});
      kept.set(at, element);
      if (at === position) show(kind);
    } catch {
      kept.delete(at);
      setTimeout(() => { if (Math.abs(at - position) <= AHEAD) fetched(kind, at); }, 1000);
    }
  }

  async function ahead() {
    for (const kind of ["look", "near"]) {
      for (const at of parts[kind].keys()) if (at < position - BEHIND || at > position + 2 * AHEAD) parts[kind].delete(at);
    }
    for (let at = position; at < Math.min(total, position + AHEAD); at++) { fetched("look", at); fetched("near", at); }
  }

  function show(only) {
    if (position >= total) { finish(); return; }
    bar.value = position;
    count.textContent = fill(words.of, { n: position + 1, all: total });
    if (only !== "near") {
      const look = parts.look.get(position);
      since = look ? performance.now() : 0;
      place.replaceChildren(look || waiting());
      root.classList.toggle("sounding", Boolean(look && look.querySelector("audio")));
      find("[data-does=play]").hidden = !root.classList.contains("sounding");
      if (look) play(true);
    }
    const near = parts.near.get(position);
    beside.replaceChildren(near || waiting());
    ahead();
  }

  function waiting() {
    const line = document.createElement("p");
    line.className = "soft";
    line.textContent = words.waiting;
    return line;
  }

  function play(quietly) {
    const sound = place.querySelector("audio");
    if (!sound) { if (!quietly) say(words.nosound); return; }
    sound.currentTime = 0;
    sound.play().catch(() => {});  // before the first key a browser plays nothing
  }

  // Keys ------------------------------------------------------------------------------------------------------------------
  function press(verdict, more = {}) {
    if (verdict === "undo" ? position === 0 : !since) { if (verdict === "undo") say(words.first); return; }
    const sound = place.querySelector("audio");
    if (sound) sound.pause();
    const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    const seconds = since ? (performance.now() - since) / 1000 : 0;
    keep({ press: id, verdict, position, seconds: Math.round(1000 * seconds) / 1000, ...more });
    position += verdict === "undo" ? -1 : 1;
    say(words[verdict]);
    show();
    send();
  }

  const does = {
    accept: () => press("accept"),
    reject: (button) => press("reject", { reason: button.dataset.reason }),
    undo: () => press("undo"),
    edit: () => mend(),
    zoom: () => {
      const zoomed = root.classList.toggle("zoomed");
      find("[data-does=zoom]").setAttribute("aria-pressed", String(zoomed));
    },
    play: () => play(false),
  };
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-does]");
    if (button) does[button.dataset.does](button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || dialog.open || !single.checked) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    const plain = /^[a-z0-9]$/i.test(event.key) ? event.key : event.code.replace(/^(Key|Digit|Numpad)/, "");
    const button = find(`[aria-keyshortcuts="${CSS.escape(plain.toLowerCase())}"]`);
    if (!button || button.hidden) return;
    event.preventDefault();
    does[button.dataset.does](button);
  });
  const stored = (action) => { try { return action(localStorage); } catch { return null; } };
  single.checked = stored((s) => s.getItem("karat-single")) !== "off";
  single.addEventListener("change", () => stored((s) => s.setItem("karat-single", single.checked ? "on" : "off")));

  // What was pressed and is not written down yet ------------------------------------------------------------------------
  const unstored = new Map();  // where the browser keeps nothing
  let turn = 0;
  function keep(one) {
    const key = `${prefix}${String(Date.now()).padStart(15, "0")} ${String(turn++).padStart(9, "0")} ${one.press}`;
    if (stored((s) => { s.setItem(key, JSON.stringify(one)); return true; }) === null) unstored.set(key, one);
  }
  function pending() {
    const keys = stored((s) => Object.keys(s).filter((key) => key.startsWith(prefix))) || [];
    const found = keys.map((key) => [key, stored((s) => JSON.parse(s.getItem(key)))]).filter(([, one]) => one);
    return [...found, ...unstored].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, BATCH);
  }
  function drop(some) {
    for (const [key] of some) { unstored.delete(key); stored((s) => s.removeItem(key)); }
  }

  async function send() {
    if (sending) return;
    sending = true;
    try {
      let found = null;
      for (let some = pending(); some.length || !found; some = pending()) {
        const answer = await fetch(`${address}/presses?${query}`, {
          method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(some.map(([, one]) => one)),
        });
        if (!answer.ok) throw new Error(String(answer.status));
        found = await answer.json();
        drop(some);
        if (found.refused.length) say(words.elsewhere);
      }
      lost.hidden = true;
      pause = 500;
      if (!dialog.open && found.position !== position) {  // decided in another window
        if (said.textContent !== words.elsewhere) say(words.elsewhere);
        position = found.position;
        show();
      }
    } catch {
      lost.hidden = false;
      setTimeout(send, pause);
      pause = Math.min(SLOWEST, 2 * pause);
    } finally {
      sending = false;
    }
    if (pending().length && lost.hidden) send();
  }
  window.addEventListener("online", send);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) send(); });

  function finish() {
    since = 0;
    bar.value = total;
    count.textContent = "";
    place.replaceChildren(waiting());
    beside.replaceChildren();
    say(words.saving);
    if (pending().length || sending) { setTimeout(finish, 200); send(); return; }
    location.reload();
  }

  // Mending ---------------------------------------------------------------------------------------------------------------
  function element(name, values) { return Object.assign(document.createElement(name), values); }

  function mend() {
    const look = parts.look.get(position);
    if (!since || !look) return;
    const kind = look.dataset.kind;
    body.replaceChildren();
    if (kind === "passage") {
      const field = element("textarea", { rows: 12, name: "text", value: look.querySelector(".passage").textContent });
      field.setAttribute("aria-label", body.dataset.text);
      body.append(field);
    } else if (kind === "row") {
      for (const row of look.querySelectorAll("tr")) {
        const cell = row.querySelector("td"), none = "missing" in cell.dataset;
        const label = element("label", { textContent: row.querySelector("th").textContent });
        label.append(element("input", { type: "text", value: none ? "" : cell.textContent }));
        body.append(label);
      }
    } else {
      const source = (look.querySelector("img") || look.querySelector("audio")).src;
      const take = element("p", {});
      take.append(element("a", { href: source, download: kind === "sound" ? "sound.wav" : "picture.png", textContent: body.dataset.take }));
      const label = element("label", { textContent: body.dataset.file });
      label.append(element("input", { type: "file", name: "file", accept: kind === "sound" ? "audio/*" : "image/*" }));
      body.append(take, label);
    }
    opened = performance.now();
    dialog.returnValue = "";
    dialog.showModal();
  }

  dialog.addEventListener("close", () => {
    if (dialog.returnValue !== "save") return;
    const look = parts.look.get(position), mending = Math.round(performance.now() - opened) / 1000;
    const kind = look.dataset.kind;
    if (kind === "passage") {
      const text = body.querySelector("textarea").value;
      if (text === look.querySelector(".passage").textContent || !text) { say(words.unchanged); return; }
      press("edit", { text, mending });
    } else if (kind === "row") {
      const text = {};
      let changed = false;
      const fields = body.querySelectorAll("input");
      look.querySelectorAll("tr").forEach((row, i) => {
        const cell = row.querySelector("td"), none = "missing" in cell.dataset;
        text[row.querySelector("th").textContent] = none && !fields[i].value ? null : fields[i].value;
        changed = changed || fields[i].value !== (none ? "" : cell.textContent);
      });
      if (!changed) { say(words.unchanged); return; }
      press("edit", { text, mending });
    } else {
      sendFile(body.querySelector("input").files[0], mending);
    }
  });

  async function sendFile(file, mending) {
    if (!file) { say(words.unchanged); return; }
    const at = position, form = new FormData();
    const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
    form.set("press", id);
    form.set("position", String(at));
    form.set("seconds", String((performance.now() - since) / 1000));
    form.set("mending", String(mending));
    form.set("file", file);
    try {
      const answer = await fetch(`${address}/mended?${query}`, { method: "POST", body: form });
      if (!answer.ok) { say(words.refused); return; }
      say(words.edit);
      position = (await answer.json()).position;
      show();
    } catch {
      lost.hidden = false;  // nothing is lost: the file is still the reviewer's
    }
  }

  if (matchMedia("(max-width: 720px)").matches) root.scrollIntoView();
  show();
  send();
})();
