"use strict";
// Sorting of tables; the list of runs with search, filters and pages; a run's details. Text only, never HTML.
let data, state, texts;
const KEYS = ["task", "model", "method", "deletion", "seed", "unlearn seed"], PAGE = 100;
const byId = (id) => document.getElementById(id);

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined && text !== null) made.textContent = String(text);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const shown = (value) => value === null || value === undefined ? "-" : typeof value !== "number" ? String(value)
  : Number.isInteger(value) ? String(value) : Math.abs(value) >= 1e5 || Math.abs(value) < 1e-4 ? value.toExponential(2)
  : value.toFixed(3);

// Numbers by size, texts by letters; what is missing stands last, whichever way it is sorted.
function order(first, second, down) {
  const [a, b] = [first, second].map((one) => one === null || one === "" || one === "-" ? null : one);
  if (a === null || b === null) return (a === null) - (b === null);
  const numbers = [Number(a), Number(b)];
  const found = numbers.some(Number.isNaN) ? String(a).localeCompare(String(b)) : numbers[0] - numbers[1];
  return down ? -found : found;
}

// Sets the heading that is sorted by; true if it now goes down.
function turn(heading, row) {
  const down = heading.getAttribute("aria-sort") === "none" ? heading.classList.contains("number")
    : heading.getAttribute("aria-sort") === "ascending";
  for (const other of row.children) other.setAttribute("aria-sort", "none");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  return down;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = table.tHead.rows[0];
  [...heads.children].forEach((heading, place) => heading.firstElementChild.addEventListener("click", () => {
    const down = turn(heading, heads), body = table.tBodies[0];
    const key = (row) => row.cells[place].dataset.value ?? row.cells[place].textContent.trim();
    body.append(...[...body.rows].sort((a, b) => order(key(a), key(b), down)));
  }));
}

function draw() {
  const body = byId("list").tBodies[0], pages = Math.max(1, Math.ceil(state.rows.length / PAGE));
  state.page = Math.min(state.page, pages - 1);
  body.replaceChildren(...state.rows.slice(state.page * PAGE, (state.page + 1) * PAGE).map(line));
  byId("count").textContent = `${state.rows.length} of ${data.rows.length} runs`;
  byId("page").textContent = `page ${state.page + 1} of ${pages}`;
  byId("before").disabled = state.page === 0;
  byId("after").disabled = state.page === pages - 1;
}

function line(row) {
  const made = element("tr", null, { tabindex: "0" });
  made.append(...row.key.map((value) => element("td", value)), ...row.shown.map((value) => element("td", shown(value), { class: "number" })));
  const open = () => details(row);
  made.addEventListener("click", open);
  // The same key would go on to press the dialog's first button, which closes it.
  made.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); open(); } });
  return made;
}

function choose() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const task = byId("task").value, method = byId("method").value;
  state.rows = data.rows.filter((row) => (!task || row.key[0] === task) && (!method || row.key[2] === method)
    && words.every((word) => texts.get(row).includes(word)));
  if (state.sorted) state.rows.sort((a, b) => order(state.sorted.of(a), state.sorted.of(b), state.sorted.down));
  state.page = 0;
  draw();
}

function headings() {
  const row = byId("list").tHead.insertRow();
  [...KEYS, ...data.shown].forEach((name, place) => {
    const button = element("button", name, { type: "button" });
    const head = element("th", null, { scope: "col", "aria-sort": "none", class: place < KEYS.length ? "" : "number" });
    head.append(button);
    row.append(head);
    button.addEventListener("click", () => {
      const of = (one) => place < KEYS.length ? one.key[place] : one.shown[place - KEYS.length];
      state.sorted = { of, down: turn(head, row) };
      choose();
    });
  });
}

function numbers(row) {
  const groups = Object.keys(row.metrics), table = element("table"), head = table.createTHead().insertRow();
  head.append(...["metric", ...groups].map((name) => element("th", name, { scope: "col" })));
  data.names.forEach((name, place) => {
    const values = groups.map((group) => row.metrics[group][place]);
    if (values.every((value) => value === null)) return;
    const made = table.insertRow();
    made.append(element("th", name, { scope: "row" }), ...values.map((value) => element("td", shown(value), { class: "number" })));
  });
  return table;
}

function details(row) {
  const config = Object.fromEntries(Object.entries(row.config).map(([name, place]) => [name, data.pool[place]]));
  byId("run-title").textContent = `${row.key[2]} on ${row.key[0]} with ${row.key[1]}, ${row.key[3]}`;
  const body = byId("run-body"), parts = [["Cost", row.cost], ["Forget set", data.pool[row.forget_set]],
    ["Environment", data.pool[row.environment]], ["Not computed", data.pool[row.reasons]],
    ["Typed", data.pool[row.overrides]], ["Settings", config]];
  body.replaceChildren(element("p", `${row.folder} · finished ${row.finished} · ${row.fingerprint}`), numbers(row));
  for (const [title, content] of parts) {
    body.append(element("h3", title), element("pre", JSON.stringify(content, null, 1)));
  }
  byId("run").showModal();
}

// The runs stand in the page as JSON, compressed.
async function unpacked() {
  const bytes = Uint8Array.from(atob(byId("data").textContent.trim()), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return (await new Response(stream).json()).runs;
}

async function begin() {
  data = await unpacked();
  state = { rows: data.rows, page: 0, sorted: null };
  texts = new Map(data.rows.map((row) => [row, [...row.key, row.fingerprint].join(" ").toLowerCase()]));
  for (const [id, place] of [["task", 0], ["method", 2]]) {
    const names = [...new Set(data.rows.map((row) => row.key[place]))].sort();
    byId(id).append(...names.map((name) => element("option", name, { value: name })));
    byId(id).addEventListener("change", choose);
  }
  byId("search").addEventListener("input", choose);
  byId("before").addEventListener("click", () => { state.page -= 1; draw(); });
  byId("after").addEventListener("click", () => { state.page += 1; draw(); });
  headings();
  draw();
}

byId("filters").addEventListener("submit", (event) => event.preventDefault());
begin();
