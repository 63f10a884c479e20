"use strict";
// Which page is shown; sorting and narrowing of tables; the list of runs with search, filters and pages; a run's
// details. Text only, never HTML.
let data, state, texts;
const PAGE = 100, TITLE = document.title;
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
const words = (id) => byId(id).value.toLowerCase().split(/\s+/).filter(Boolean);

// Numbers by size, texts by letters; what is missing stands last, whichever way it is sorted.
function order(first, second, down) {
  const [a, b] = [first, second].map((one) => one === null || one === "" || one === "-" ? null : one);
  if (a === null || b === null) return (a === null) - (b === null);
  const numbers = [Number(a), Number(b)];
  const found = numbers.some(Number.isNaN) ? String(a).localeCompare(String(b), "en", { numeric: true }) : numbers[0] - numbers[1];
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

// Rows of the tables: one of the words, and the group.
function narrow() {
  const among = words("rows"), group = byId("whose")?.value;
  for (const row of document.querySelectorAll("tr[data-text]")) {
    row.hidden = (among.length > 0 && !among.some((word) => row.dataset.text.includes(word)))
      || (Boolean(group) && !(row.dataset.groups ?? "").split("|").includes(group));
  }
  const rows = [...document.querySelectorAll(".view:not([hidden]) tr[data-text]")];
  byId("left").textContent = among.length || group ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
}

// The page that holds what the address names; of a name that lies in no page, the page that was shown.
function show(focus) {
  let name = location.hash.slice(1);
  try { name = decodeURIComponent(name); } catch { /* an address that is no name */ }
  if (name.startsWith("run=")) return open(name.slice(4));
  if (byId("run").open) byId("run").close();
  const target = name ? byId(name) : byId("all"), view = target?.closest(".view");
  if (!view) return undefined;
  const changed = document.body.dataset.view !== view.id;
  if (changed) turnTo(view);
  if (focus && target === view) view.querySelector("h2").focus();
  if (changed || target !== view) target.scrollIntoView();
  return undefined;
}

function turnTo(view) {
  for (const other of document.querySelectorAll(".view")) other.hidden = other !== view;
  document.body.dataset.view = view.id;
  document.title = `${view.querySelector("h2").textContent} · ${TITLE}`;
  for (const link of document.querySelectorAll("nav a")) {
    const here = decodeURIComponent(link.hash.slice(1)) === view.id;
    if (here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  narrow();
  if (data) { byId("task").value = view.id.startsWith("task=") ? view.id.slice(5) : ""; choose(); }
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
  const made = element("tr");
  made.append(...data.keys.map((name, place) => {
    if (name !== "method") return element("td", row.key[place], typeof row.key[place] === "number" ? { class: "number" } : {});
    const cell = element("th", null, { scope: "row" });
    cell.append(element("a", row.key[place], { href: `#run=${row.fingerprint}` }));
    return cell;
  }), ...row.shown.map((value) => element("td", shown(value), { class: "number" })), element("td", data.pool[row.wary], { class: "why" }));
  return made;
}

function choose() {
  const among = words("search"), at = (name) => data.keys.indexOf(name);
  const wanted = ["task", "method", "group"].map((name) => [byId(name)?.value, at(name)]).filter(([value]) => value);
  state.rows = data.rows.filter((row) => wanted.every(([value, place]) => row.key[place] === value)
    && among.every((word) => texts.get(row).includes(word)));
  if (state.sorted) state.rows.sort((a, b) => order(state.sorted.of(a), state.sorted.of(b), state.sorted.down));
  state.page = 0;
  draw();
}

function headings() {
  const row = byId("list").tHead.insertRow(), count = data.keys.length;
  [...data.keys, ...data.shown, "to be wary of"].forEach((name, place) => {
    const button = element("button", null, { type: "button" });
    button.append(...name.split("_").flatMap((part, at) => at ? ["_", element("wbr"), part] : [part]));
    const number = (place < count + data.shown.length && place >= count) || name.endsWith("seed");
    const head = element("th", null, { scope: "col", "aria-sort": "none", class: number ? "number" : "", "data-name": name });
    head.append(button);
    row.append(head);
    button.addEventListener("click", () => {
      const of = (one) => place < count ? one.key[place] : place - count < data.shown.length ? one.shown[place - count]
        : data.pool[one.wary];
      state.sorted = { of, down: turn(head, row) };
      choose();
    });
  });
}

function numbers(row) {
  const groups = Object.keys(row.metrics), table = named("Metrics of every model"), head = table.createTHead().insertRow();
  head.append(...["metric", ...groups].map((name, place) => element("th", name, { scope: "col", class: place ? "number" : "" })));
  const body = table.createTBody();
  data.names.forEach((name, place) => {
    const values = groups.map((group) => row.metrics[group][place]);
    if (values.every((value) => value === null)) return;
    const made = body.insertRow();
    made.append(element("th", name, { scope: "row" }), ...values.map((value) => element("td", shown(value), { class: "number" })));
  });
  return table;
}

function named(title) {
  const table = element("table");
  table.append(element("caption", title, { class: "quiet" }));
  return table;
}

function pairs(title, content) {
  const table = named(title), body = table.createTBody();
  for (const [name, value] of Object.entries(content)) {
    body.insertRow().append(element("th", name, { scope: "row" }), element("td", typeof value === "object" && value ? JSON.stringify(value) : shown(value)));
  }
  return table;
}

function details(row) {
  const config = Object.fromEntries(Object.entries(row.config).map(([name, place]) => [name, data.pool[place]]));
  const of = (name) => row.key[data.keys.indexOf(name)], wary = data.pool[row.wary];
  byId("run-title").textContent = `${of("method")} on ${of("task")} with ${of("model")}, ${of("deletion")}`;
  const owner = data.keys.includes("group") ? ` · ${of("group")}` : "";
  byId("run-body").replaceChildren(element("p", `${row.folder} · finished ${row.finished} · ${row.fingerprint}${owner}`),
    ...(wary ? [element("p", wary, { class: "warnings" })] : []), numbers(row));
  const parts = [["Cost", pairs("Cost", row.cost)], ["Not computed", reasons(data.pool[row.reasons])],
    ["Forget set", pairs("Forget set", data.pool[row.forget_set])], ["Environment", pairs("Environment", data.pool[row.environment])],
    ["Typed", element("pre", data.pool[row.overrides].join("\n"))], ["Settings", element("pre", JSON.stringify(config, null, 1))]];
  for (const [title, content] of parts) byId("run-body").append(element("h3", title), content);
}

function reasons(content) {
  const list = element("ul");
  for (const [names, reason] of Object.entries(content)) list.append(element("li", `${reason}: ${names}`));
  return list;
}

function open(fingerprint) {
  const row = data?.rows.find((one) => one.fingerprint === fingerprint);
  if (!row) return;
  details(row);
  if (!byId("run").open) byId("run").showModal();
  byId("run").scrollTop = 0;
}

// The address of a run names the page below it again once the run is closed.
byId("run").addEventListener("close", () => {
  if (location.hash.startsWith("#run=")) history.replaceState(null, "", `#${encodeURIComponent(document.body.dataset.view)}`);
});

// The runs stand in the page as JSON, compressed.
async function unpacked() {
  const bytes = Uint8Array.from(atob(byId("data").textContent.trim()), (sign) => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return (await new Response(stream).json()).runs;
}

async function begin() {
  turnTo(byId("all"));
  show(false);
  data = await unpacked();
  state = { rows: data.rows, page: 0, sorted: null };
  texts = new Map(data.rows.map((row) => [row, [...row.key, row.fingerprint, data.pool[row.wary]].join(" ").toLowerCase()]));
  for (const id of ["task", "method", "group"].filter(byId)) {
    const names = [...new Set(data.rows.map((row) => row.key[data.keys.indexOf(id)]))].sort();
    byId(id).append(...names.map((name) => element("option", name, { value: name })));
    byId(id).addEventListener("change", choose);
  }
  byId("search").addEventListener("input", choose);
  byId("before").addEventListener("click", () => { state.page -= 1; draw(); });
  byId("after").addEventListener("click", () => { state.page += 1; draw(); });
  headings();
  turnTo(byId(document.body.dataset.view));
  show(false);
}

byId("rows").addEventListener("input", narrow);
byId("whose")?.addEventListener("change", narrow);
for (const id of ["filters", "narrow"]) byId(id).addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("hashchange", () => show(true));
begin();
