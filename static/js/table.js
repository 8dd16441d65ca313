// Lists: selecting with Shift and Ctrl, walking with keys, the rows' one menu, and the filter's completion.
const $ = (sel, from = document) => from.querySelector(sel);
const $$ = (sel, from = document) => [...from.querySelectorAll(sel)];
const rows = () => $$("table[data-rows] tbody tr");
const tick = (row) => $(".row-check", row);

// ---- Selection.
let anchor = null;
function count() {
  const n = $$(".row-check:checked").length;
  const all = $("[data-all]");
  const label = $("[data-selected]");
  if (label) label.textContent = all?.checked ? `${all.dataset.all} selected` : `${n} selected`;
  const head = $("[data-check-all]");
  if (head) { const every = $$(".row-check").length; head.checked = n > 0 && n === every; head.indeterminate = n > 0 && n < every; }
  if (n === 0 && all) all.checked = false;
}
function upTo(row) {
  const list = rows();
  const [a, b] = [list.indexOf(anchor), list.indexOf(row)].sort((x, y) => x - y);
  if (a < 0) return;
  for (const r of list.slice(a, b + 1)) if (tick(r)) tick(r).checked = true;
}
addEventListener("click", (e) => {
  const box = e.target.closest?.(".row-check");
  if (box) {
    if (e.shiftKey && anchor) upTo(box.closest("tr"));
    anchor = box.closest("tr");
    return count();
  }
  if (e.target.closest?.("[data-do=unselect]")) return clear();
  if (e.target.closest?.("[data-do=row-menu]") && !(e.ctrlKey || e.metaKey)) {
    e.preventDefault();
    const r = e.target.closest("[data-do]").getBoundingClientRect();
    return openMenu(e.target.closest("tr"), r.right, r.bottom + 2, true);
  }
  const row = e.target.closest?.("table[data-rows=vms] tbody tr");
  if (!row || e.target.closest("a, button, input, label, summary") || !tick(row) || getSelection().toString()) return;
  if (e.shiftKey && anchor) upTo(row);
  else if (e.ctrlKey || e.metaKey) tick(row).checked = !tick(row).checked;
  else return;
  anchor = row;
  count();
});
addEventListener("mousedown", (e) => { if (e.shiftKey && e.target.closest?.("table[data-rows]")) e.preventDefault(); });
addEventListener("change", (e) => {
  if (e.target.matches("[data-check-all]")) for (const b of $$(".row-check")) b.checked = e.target.checked;
  if (e.target.matches("[data-check-all], [data-all], .row-check")) count();
});
function clear() { for (const b of $$(".row-check:checked, [data-all]:checked")) b.checked = false; count(); }
document.addEventListener("htmx:after:swap", count);
document.addEventListener("htmx:after:request", (e) => { if (e.detail.ctx.request.action.startsWith("/vms/bulk") && e.detail.ctx.response.status < 400 && !e.detail.ctx.text.includes('id="ask"')) clear(); });
addEventListener("dblclick", (e) => {
  const row = e.target.closest?.("table[data-rows] tbody tr");
  if (row && !e.target.closest("a, button, input, label")) $("a.name", row)?.click();
});

// ---- News: what has appeared, and what does not belong here any more, is taken in at once while nobody is at the list, and otherwise as soon as they
// leave it, so that no row moves under a pointer, a tick or the keyboard.
function takeIn() {
  if ($(".table-wrap:hover, .table-wrap:focus-within, .row-check:checked, dialog[open], :popover-open")) return;
  for (const row of $$("tr.left")) row.remove();
  $("#list-news a")?.click();
}
document.addEventListener("htmx:after:swap", takeIn);
document.addEventListener("pointerout", (e) => { if (e.target.closest?.(".table-wrap") && !e.relatedTarget?.closest?.(".table-wrap")) setTimeout(takeIn); });
document.addEventListener("focusout", (e) => { if (e.target.closest?.(".table-wrap")) setTimeout(takeIn); });

// ---- The rows' menu.
const menu = $("#row-menu");
let forRow = null;
const key = (state) => "not" + state[0].toUpperCase() + state.slice(1);
function openMenu(row, x, y, toLeft) {
  if (!menu || !row?.dataset.state) return;
  forRow = row;
  $("[data-menu-name]", menu).textContent = row.dataset.name;
  for (const a of $$("a[data-url]", menu)) {
    a.href = a.dataset.url.replace("ID", encodeURIComponent(row.dataset.id));
    const why = a.dataset.action && (a.dataset.action !== "console" && row.dataset.busy || a.dataset[key(row.dataset.state)]);
    if (why) { a.setAttribute("aria-disabled", "true"); a.title = why; } else { a.removeAttribute("aria-disabled"); a.title = ""; }
  }
  menu.showPopover();
  const { width, height } = menu.getBoundingClientRect();
  menu.style.left = Math.max(8, Math.min(toLeft ? x - width : x, innerWidth - width - 8)) + "px";
  menu.style.top = Math.max(8, y + height > innerHeight - 8 ? Math.min(y, innerHeight) - height - 30 : y) + "px";
  $("a", menu).focus();
}
menu?.addEventListener("click", (e) => {
  const a = e.target.closest("a[data-url]");
  if (!a) return;
  if (a.getAttribute("aria-disabled")) return e.preventDefault();
  if (!a.dataset.how || a.dataset.how === "go" || e.ctrlKey || e.metaKey) return;
  e.preventDefault();
  menu.hidePopover();
  if (a.dataset.how === "ask") htmx.ajax("GET", a.getAttribute("href"), { source: forRow, target: "#dialog-body", select: "#ask", swap: "innerHTML" });
  else htmx.ajax("POST", a.getAttribute("href"), { source: forRow, swap: "none" });
});
addEventListener("contextmenu", (e) => {
  const row = e.target.closest?.("table[data-rows=vms] tbody tr[data-state]:not(.gone)");
  if (!row || e.target.closest("input") || getSelection().toString()) return;
  e.preventDefault();
  openMenu(row, e.clientX, e.clientY, false);
});

// ---- Walking. The cursor is the focused name, so Enter and screen readers just work.
function walk(by) {
  const list = rows().filter((r) => $("a.name", r));
  const at = list.findIndex((r) => r.contains(document.activeElement));
  const row = list[Math.max(0, Math.min(list.length - 1, at < 0 ? 0 : at + by))];
  for (const r of list) r.classList.toggle("cursor", r === row);
  $("a.name", row)?.focus();
  row?.scrollIntoView({ block: "nearest" });
}
addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || $("dialog[open]") || menu?.matches(":popover-open")) return;
  if (e.target.closest?.("input:not([type=checkbox]), textarea, select, .console-view, .menu-list")) return;
  const row = document.activeElement?.closest("table[data-rows] tbody tr");
  const arrows = row || document.activeElement === document.body || document.activeElement?.matches("main, .table-wrap");
  if (e.key === "j" || arrows && e.key === "ArrowDown") { if (rows().length) { e.preventDefault(); walk(1); } }
  else if (e.key === "k" || arrows && e.key === "ArrowUp") { if (rows().length) { e.preventDefault(); walk(-1); } }
  else if (e.key === "Escape") clear();
  else if (!row) return;
  else if (e.key.toLowerCase() === "x" && tick(row)) { if (e.shiftKey && anchor) upTo(row); else tick(row).checked = !tick(row).checked; anchor = row; count(); }
  else if (e.key === "m") { const r = row.getBoundingClientRect(); openMenu(row, r.left + 60, r.bottom, false); }
  else if (e.key === "c") $("a[href$='/console']", row)?.click();
});

// ---- Completion of the filter: fields first, then what the field knows.
const filter = $("input[data-complete]");
if (filter) {
  const words = { "host:": filter.dataset.hosts.split(" "), "tag:": filter.dataset.tags.split(" "), "state:": ["running", "stopped", "paused", "saved", "crashed", "away"] };
  const fields = ["name:", "host:", "state:", "tag:", "cpu>", "mem>="];
  const box = Object.assign(document.createElement("ul"), { className: "complete", id: "complete", hidden: true });
  box.setAttribute("role", "listbox");
  box.setAttribute("aria-label", "Completions");
  filter.after(box);
  filter.setAttribute("role", "combobox");
  filter.setAttribute("aria-controls", "complete");
  filter.setAttribute("aria-expanded", "false");
  filter.setAttribute("aria-autocomplete", "list");
  const part = () => /(^|\s)(-?)(\S*)$/.exec(filter.value.slice(0, filter.selectionStart ?? filter.value.length));
  const close = () => { box.hidden = true; filter.setAttribute("aria-expanded", "false"); filter.removeAttribute("aria-activedescendant"); };
  const mark = (i) => [...box.children].forEach((li, n) => { li.setAttribute("aria-selected", n === i); if (n === i) filter.setAttribute("aria-activedescendant", li.id); });
  const show = () => {
    const typed = part()[3].toLowerCase();
    const field = Object.keys(words).find((f) => typed.startsWith(f));
    const options = field ? words[field].filter(Boolean).map((w) => field + w) : typed ? fields : [];
    const fit = options.filter((o) => o.toLowerCase().startsWith(typed) && o.toLowerCase() !== typed).slice(0, 8);
    if (!fit.length) return close();
    box.replaceChildren(...fit.map((o, i) => { const li = Object.assign(document.createElement("li"), { textContent: o, id: "complete-" + i }); li.setAttribute("role", "option"); li.setAttribute("aria-selected", "false"); return li; }));
    box.hidden = false;
    filter.setAttribute("aria-expanded", "true");
  };
  const take = (text) => {
    const [whole, , minus] = part();
    const at = filter.selectionStart ?? filter.value.length;
    const start = at - whole.length + whole.search(/\S|$/);
    const done = minus + text + (/[:>=]$/.test(text) ? "" : " ");
    filter.value = filter.value.slice(0, start) + done + filter.value.slice(at);
    filter.setSelectionRange(start + done.length, start + done.length);
    filter.dispatchEvent(new Event("input", { bubbles: true }));
  };
  filter.addEventListener("input", show);
  filter.addEventListener("blur", () => setTimeout(close, 120));
  box.addEventListener("mousedown", (e) => { e.preventDefault(); const li = e.target.closest("li"); if (li) take(li.textContent); });
  filter.addEventListener("keydown", (e) => {
    if (box.hidden) return;
    const list = [...box.children];
    const at = list.findIndex((li) => li.getAttribute("aria-selected") === "true");
    if (e.key === "ArrowDown") mark((at + 1) % list.length);
    else if (e.key === "ArrowUp") mark((at - 1 + list.length) % list.length);
    else if (e.key === "Tab" && at < 0) take(list[0].textContent);
    else if ((e.key === "Enter" || e.key === "Tab") && at >= 0) take(list[at].textContent);
    else if (e.key === "Escape") { close(); e.stopPropagation(); }
    else return;
    e.preventDefault();
  });
}
count();
