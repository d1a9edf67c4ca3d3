// Everything works without this: it adds keys, refreshes what is under way, and counts what is chosen.
"use strict";

const $ = (selector, within = document) => within.querySelector(selector);
const $$ = (selector, within = document) => [...within.querySelectorAll(selector)];

// ---- Parts that refresh by themselves: see ops/http/console/live.py

const WAIT = 2;
const streams = new Map();

async function fetchPart(part) {
  const answer = await fetch(part.dataset.refresh || location.href, { headers: { "X-Part": part.id } });
  if (!answer.ok || answer.redirected) return null;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return page.getElementById(part.id);
}

function isInUse(part) {
  const inside = part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select");
  return inside || $("input:checked:not([data-kept])", part) !== null;
}

async function refresh(part) {
  if (document.hidden || isInUse(part)) return part;
  let fresh = null;
  try { fresh = await fetchPart(part); } catch { return part; }   // the server restarts: the next look tells
  if (!fresh) return part;
  const focused = part.contains(document.activeElement) ? document.activeElement.id : null;
  const opened = $$("details[id][open]", part).map((one) => one.id);
  part.replaceWith(fresh);
  opened.forEach((id) => document.getElementById(id)?.setAttribute("open", ""));
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  prepare(fresh);
  return fresh;
}

function follow(part) {
  const id = part.id;
  if (!id || streams.has(id) || (document.hidden && part.dataset.events)) return;
  const again = async () => {
    const now = document.getElementById(id);
    const fresh = now && await refresh(now);
    if (fresh && "refresh" in fresh.dataset) return true;
    streams.get(id)?.close?.();
    streams.delete(id);
    return false;
  };
  if (part.dataset.events) {
    const source = new EventSource(part.dataset.events);
    source.onmessage = again;
    source.addEventListener("over", async () => { source.close(); await again(); });
    streams.set(id, source);
    return;
  }
  streams.set(id, null);
  const seconds = Number(part.dataset.every) || WAIT;
  const tick = async () => { if (await again()) setTimeout(tick, seconds * 1000); };
  setTimeout(tick, seconds * 1000);
}

// A browser opens six connections to a host, over all its windows: one that nobody looks at keeps none.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return $$("[data-refresh]").forEach(follow);
  streams.forEach((source, id) => {
    if (!source) return;
    source.close();
    streams.delete(id);
  });
});

// ---- Choosing rows: a box for all, and a button that says how many

function countChosen(form) {
  const boxes = $$("input[data-row]", form);
  const chosen = boxes.filter((box) => box.checked).length;
  $$("input[data-all]", form).forEach((all) => {
    all.checked = chosen > 0 && chosen === boxes.length;
    all.indeterminate = chosen > 0 && chosen < boxes.length;
  });
  $$("button[data-label]", form).forEach((button) => {
    button.dataset.plain ??= button.textContent;
    button.textContent = chosen ? button.dataset.label.replace("{n}", chosen).replace("{all}", boxes.length) : button.dataset.plain;
    button.disabled = chosen === 0;
  });
  boxes.forEach((box) => box.closest("tr")?.classList.toggle("chosen", box.checked));
}

function prepare(within) {
  $$("[data-refresh]", within.parentElement ?? document).forEach(follow);
  $$("form[data-choose]").forEach(countChosen);
  $$("input[data-all]", within).forEach((all) => { all.hidden = false; });
}

document.addEventListener("change", (event) => {
  const form = event.target.closest?.("form[data-choose]");
  if (form) {
    if (event.target.matches("input[data-all]"))
      $$("input[data-row]", form).forEach((box) => { box.checked = event.target.checked; });
    countChosen(form);
  }
  if (event.target.matches?.("select[data-send]")) event.target.form.requestSubmit();
});

// A form goes once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "1";
  form.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => $$("form[data-sent]").forEach((form) => {
  delete form.dataset.sent;
  form.removeAttribute("aria-busy");
}));

// ---- Keys

const PLACES = { o: "/", t: "/tenants", r: "/runs", i: "/inbox", h: "/holds", d: "/dead-letters", p: "/people" };
let begun = 0;   // when "g" was pressed

const rows = () => $$("main table.list tbody tr");

function move(step) {
  const all = rows();
  if (!all.length) return;
  const at = all.findIndex((row) => row.classList.contains("here"));
  const next = all[Math.min(all.length - 1, Math.max(0, at + step))];
  all.forEach((row) => row.classList.toggle("here", row === next));
  const target = $("a, input[data-row], button", next);
  target?.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");
  if (event.key === "Escape" && field && field.id === "search") field.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || field) return;
  const after = Date.now() - begun < 1500;
  begun = 0;
  if (after && event.key in PLACES) location.assign(PLACES[event.key]);
  else if (event.key === "g") begun = Date.now();
  else if (event.key === "/") $("#search").focus();
  else if (event.key === "?") $("#keys").showModal();
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "x") $("tr.here input[data-row]")?.click();
  else return;
  event.preventDefault();
});

document.addEventListener("click", (event) => {
  $$("details.menu[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
});

prepare(document.documentElement);
