// What every page needs: times, menus, dialogs, toasts, theme, keys, palette, and what to do when the server or the stream is away.
const root = document.documentElement;
const $ = (sel, from = document) => from.querySelector(sel);
const $$ = (sel, from = document) => [...from.querySelectorAll(sel)];
const keep = (k, v) => { try { localStorage.setItem("nova." + k, v); } catch { /* storage may be forbidden */ } };

// ---- Times: relative, in words; exact in the viewer's zone on hover. The server's clock counts, not the viewer's.
const skew = root.dataset.now ? Number(root.dataset.now) - Date.now() : 0;
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const span = (s) => s < 60 ? `${Math.floor(s)} s` : s < 3600 ? `${Math.floor(s / 60)} min` : s < 172800 ? `${Math.floor(s / 3600)} h`
  : s < 5184000 ? `${Math.floor(s / 86400)} days` : `${Math.floor(s / 2592000)} months`;
function times(from = document) {
  const now = Date.now() + skew;
  for (const t of $$("time[datetime]", from)) {
    const at = new Date(t.dateTime);
    const s = (now - at) / 1000;
    const text = "clock" in t.dataset ? clock.format(at) : s < -5 ? `in ${span(-s)}` : s < 5 ? "just now" : `${span(s)} ago`;
    if (t.textContent !== text) t.textContent = text;
    t.title = exact.format(at);
  }
}
times();
setInterval(() => document.hidden || times(), 10000);

// ---- Toasts go by themselves, except errors and while they are looked at.
const toasts = $("#toasts");
export function toast(tone, text, detail = "", link = null) {
  const el = document.createElement("div");
  el.className = `toast ${tone}`;
  if (tone === "bad") el.setAttribute("role", "alert");
  const body = el.appendChild(Object.assign(document.createElement("div"), { className: "toast-text" }));
  body.append(Object.assign(document.createElement("strong"), { textContent: text }));
  if (detail) body.append(Object.assign(document.createElement("p"), { textContent: detail }));
  if (link) body.append(Object.assign(document.createElement("a"), { href: link.href, textContent: link.text, target: link.target || "" }));
  const x = el.appendChild(Object.assign(document.createElement("button"), { type: "button", className: "btn icon ghost", textContent: "×" }));
  x.dataset.do = "toast-close";
  x.setAttribute("aria-label", "Dismiss");
  toasts?.append(el);
}
new MutationObserver((list) => {
  for (const { addedNodes } of list) for (const el of addedNodes) {
    if (!el.classList?.contains("toast") || el.classList.contains("bad")) continue;
    const wait = () => setTimeout(() => el.matches(":hover, :focus-within") ? wait() : el.remove(), $("a, form", el) ? 9000 : 5000);
    wait();
  }
  while (toasts.childElementCount > 5) toasts.firstElementChild.remove();
}).observe(toasts, { childList: true });

// ---- Dialogs: what is asked for by a link comes as a page's part into the one dialog.
const dialog = $("#dialog");
const signedOut = () => toast("warn", "You are signed out.", "Sign in in another tab, then send this again; what you typed stays here.", { href: "/login", text: "Sign in", target: "_blank" });

document.addEventListener("htmx:before:swap", (e) => {
  const { ctx, tasks } = e.detail;
  const main = tasks.find((t) => t.type === "main");
  if (!main || !ctx.select || main.fragment.childElementCount) return;
  // The part that was asked for is not in the answer: do not empty the page, say or do what the answer means.
  tasks.splice(tasks.indexOf(main), 1);
  const answer = ctx.response?.raw;
  if (answer?.redirected && new URL(answer.url).pathname === "/login" || answer?.status === 401) return signedOut();
  if (answer?.redirected) return location.assign(answer.url);
  if (tasks.length || answer?.ok) return;
  const page = new DOMParser().parseFromString(ctx.text, "text/html");
  const text = $(".error-page", page);
  toast("bad", $("p:not(.code)", text || page)?.textContent || `The server answered ${answer?.status}.`, text ? $$("p:not(.code)", text)[1]?.textContent : "Try again in a moment.");
});
document.addEventListener("htmx:after:swap", (e) => {
  const { ctx } = e.detail;
  times();
  markTree();
  for (const d of $$("details:not([open])")) if ($("[aria-invalid=true]", d)) d.open = true;
  if (ctx.response?.status >= 400 && ctx.select && !$("dialog[open]")) {
    const wrong = $("main [aria-invalid=true]");
    (wrong || $("main [role=alert]"))?.scrollIntoView({ block: "center" });
    wrong?.focus({ preventScroll: true });
  }
  const asks = ctx.text?.includes('id="ask"');
  if (dialog?.open && !asks && ctx.response?.status < 400 && ctx.sourceElement?.closest?.("#dialog")) dialog.close();
  else if (dialog && asks && (ctx.target?.id === "dialog-body" || ctx.target === "#dialog-body") && $("#ask", dialog) && !dialog.open) {
    dialog.showModal();
    ($("[autofocus], [aria-invalid=true]", dialog) || $("input:not([type=hidden]), textarea", dialog))?.focus();
  }
});
document.addEventListener("htmx:after:request", (e) => {
  const { ctx } = e.detail;
  if (ctx.response.status < 400) ctx.sourceElement.closest?.("details.menu")?.removeAttribute("open");
});
document.addEventListener("htmx:response:error", (e) => {
  const { ctx } = e.detail;
  if (ctx.hx?.retarget) return; // a question comes into the dialog
  if (ctx.response.status === 401 && ctx.swap === "none") signedOut();
  else if (ctx.swap === "none" && !ctx.text.includes("<hx-partial")) toast("bad", `The server answered ${ctx.response.status}.`, "Nothing was changed as far as it could tell. Try again in a moment.");
});
document.addEventListener("htmx:error", (e) => {
  if (e.detail.ctx && !e.detail.ctx.response && !e.target.hasAttribute("hx-sse:connect")) toast("bad", "The server does not answer.", "What you typed is still here. Try again in a moment.");
});
dialog?.addEventListener("close", () => $("#dialog-body").replaceChildren());

// ---- The stream: say when it is away; when too much was missed, look at everything anew.
let lost;
document.addEventListener("htmx:sse:error", () => { lost ??= setTimeout(() => { $("#offline").hidden = false; }, 2500); });
document.addEventListener("htmx:sse:after:connection", () => { clearTimeout(lost); lost = undefined; $("#offline").hidden = true; });
document.addEventListener("resync", () => {
  const busy = dialog?.open || document.activeElement?.matches("main :is(input, textarea, select)") || $("main details.inline[open]");
  if (busy) toast("info", "Much has changed meanwhile.", "What you see may be old.", { href: location.href, text: "Reload" });
  else location.reload();
});

// ---- Menus: one open at a time, closed by Esc or a click elsewhere, arrows move.
document.addEventListener("toggle", (e) => {
  const menu = e.target;
  const box = menu.matches?.("details.menu") && $(".menu-list", menu);
  if (!box) return;
  if (!menu.open) return void (box.matches(":popover-open") && box.hidePopover());
  for (const d of $$("details.menu[open]")) if (d !== menu) d.open = false;
  // In the top layer nothing clips it.
  box.popover = "manual";
  box.showPopover();
  const at = $("summary", menu).getBoundingClientRect();
  const { width, height } = box.getBoundingClientRect();
  box.style.left = Math.max(8, Math.min(at.right - width, innerWidth - width - 8)) + "px";
  box.style.top = Math.max(8, Math.min(at.bottom + 4, innerHeight - height - 8)) + "px";
}, true);
addEventListener("keydown", (e) => {
  if (e.key !== "Escape") return;
  for (const d of $$("details.menu[open]")) { d.open = false; $("summary", d).focus(); }
});
addEventListener("scroll", (e) => { for (const d of $$("details.menu[open]")) if (!d.contains(e.target) && e.target.contains?.(d)) d.open = false; }, true);
addEventListener("click", (e) => { for (const d of $$("details.menu[open]")) if (!d.contains(e.target)) d.open = false; });
addEventListener("keydown", (e) => {
  const menu = e.target.closest?.(".menu-list");
  if (!menu || !["ArrowDown", "ArrowUp"].includes(e.key) || e.target.matches("input, textarea")) return;
  const items = $$("a, button, summary", menu).filter((x) => x.offsetParent);
  items.at((items.indexOf(e.target) + (e.key === "ArrowDown" ? 1 : -1)) % items.length)?.focus();
  e.preventDefault();
});

// ---- Buttons of the frame.
const doing = {
  theme(el) {
    const next = { auto: "light", light: "dark", dark: "auto" };
    const now = next[root.dataset.theme] || "auto";
    root.dataset.theme = now;
    keep("theme", now);
    el.value = next[now];
    el.setAttribute("aria-label", `Theme: ${now}. Switch to ${next[now]}.`);
    fetch(el.form.action, { method: "POST", headers: { "HX-Request": "true" }, body: new URLSearchParams({ theme: now }) }).catch(() => {});
  },
  tree() {
    const phone = innerWidth <= 900;
    root.dataset.tree = (phone ? root.dataset.tree === "open" : root.dataset.tree !== "closed") ? "closed" : "open";
    if (!phone) keep("tree", root.dataset.tree);
  },
  drawer() {
    root.dataset.drawer = root.dataset.drawer === "closed" ? "open" : "closed";
    keep("drawer", root.dataset.drawer);
    $("[data-do=drawer]")?.setAttribute("aria-expanded", root.dataset.drawer !== "closed");
  },
  keys() { $("#keys-dialog")?.showModal(); },
  "toast-close"(el) { el.closest(".toast").remove(); },
  "dialog-close"(el, e) { if (dialog?.open) { e.preventDefault(); dialog.close(); } },
  async copy(el) {
    const text = $("#" + el.dataset.from).textContent;
    try { await navigator.clipboard.writeText(text); toast("ok", "Copied."); } catch { getSelection().selectAllChildren($("#" + el.dataset.from)); toast("info", "Selected: press Ctrl+C to copy."); }
  },
  up(el) { const li = el.closest("li"); if (li.previousElementSibling?.querySelector("[data-do=up]")) { li.previousElementSibling.before(li); el.focus(); } },
  down(el) { const li = el.closest("li"); li.nextElementSibling?.after(li); el.focus(); },
};
addEventListener("click", (e) => {
  const el = e.target.closest?.("[data-do]");
  if (!el || !doing[el.dataset.do]) {
    if (e.target.closest?.("[aria-disabled=true]")) e.preventDefault();
    if (root.dataset.tree === "open" && innerWidth <= 900 && !e.target.closest(".tree")) root.dataset.tree = "closed";
    const pop = e.target.closest?.("[data-popout]");
    if (pop) { e.preventDefault(); open(pop.href, "console" + pop.pathname, "popup,width=1064,height=860"); }
    const fill = e.target.closest?.("[data-fill]");
    if (fill) { const input = $("#" + fill.dataset.fill); input.value = fill.dataset.value; input.dispatchEvent(new Event("input", { bubbles: true })); input.focus(); }
    return;
  }
  if (el.dataset.do === "theme") e.preventDefault();
  doing[el.dataset.do](el, e);
});
for (const box of $$("[data-creds]")) {
  const uri = $("[name=uri]", box.form || box.closest("form"));
  const show = () => { const m = /^\w+(?:\+(\w+))?:\/\/([^/]*)/.exec(uri.value); box.className = box.className.replace(/ creds-\w*/, " creds-" + (m ? m[1] || (m[2] ? "tls" : "unix") : "")); };
  uri.addEventListener("input", show);
}
setInterval(() => { if (!document.hidden) for (const img of $$("img[data-refresh]")) img.src = img.src.split("?")[0] + "?at=" + Math.floor(Date.now() / 1000); }, 10000);

// ---- Splitters: drag, or arrow keys while focused; the size is kept.
for (const bar of $$("[data-split]")) {
  const name = bar.dataset.split;
  const [lo, hi] = [Number(bar.getAttribute("aria-valuemin")), Number(bar.getAttribute("aria-valuemax"))];
  const box = name === "tree" ? $("#tree") : $(".drawer-body");
  const size = () => name === "tree" ? box.offsetWidth : box.offsetHeight;
  const set = (px) => {
    px = Math.round(Math.min(hi, Math.max(lo, px)));
    root.style.setProperty("--" + name, px + "px");
    bar.setAttribute("aria-valuenow", px);
    keep(name + ".size", px);
  };
  bar.addEventListener("pointerdown", (e) => {
    const [at, from] = [name === "tree" ? e.clientX : e.clientY, size()];
    bar.setPointerCapture(e.pointerId);
    e.preventDefault();
    bar.onpointermove = (m) => set(name === "tree" ? from + m.clientX - at : from - m.clientY + at);
    bar.onpointerup = () => { bar.onpointermove = null; };
  });
  bar.addEventListener("keydown", (e) => {
    const d = { ArrowLeft: -16, ArrowRight: 16, ArrowUp: 16, ArrowDown: -16 }[e.key];
    if (d) { set(size() + d); e.preventDefault(); }
  });
}

// ---- Tree: open hosts are fetched once; the filter works on what is loaded and offers the search for the rest.
export function markTree() {
  for (const a of $$(".tree li a[href]")) {
    const here = location.pathname === a.pathname || !a.matches(".tree-group") && location.pathname.startsWith(a.pathname + "/");
    if (here) a.setAttribute("aria-current", "page"); else a.removeAttribute("aria-current");
  }
}
addEventListener("click", (e) => {
  const t = e.target.closest?.(".twist");
  if (!t) return;
  const open = t.getAttribute("aria-expanded") !== "true";
  t.setAttribute("aria-expanded", open);
  document.getElementById(t.getAttribute("aria-controls")).hidden = !open;
  if (open) t.dispatchEvent(new Event("open"));
});
$("[data-tree-filter]")?.addEventListener("input", (e) => {
  const q = e.target.value.trim().toLowerCase();
  for (const li of $$("#tree-hosts > li, #tree-storage > li")) {
    let any = false;
    for (const vm of $$("ul > li[data-name]", li)) { const hit = vm.dataset.name.toLowerCase().includes(q); vm.hidden = !hit; any ||= hit; }
    const self = li.dataset.name.toLowerCase().includes(q);
    if (self) for (const vm of $$("ul > li", li)) vm.hidden = false;
    li.hidden = !(self || any);
  }
  const more = $("[data-tree-more]");
  more.hidden = !q;
  $("a", more).href = `${$("a", more).dataset.base}?${new URLSearchParams({ filter: e.target.value.trim() })}`;
  $("a", more).textContent = `Search all VMs for “${e.target.value.trim()}”`;
});
markTree();

// ---- Palette.
const palette = $("#palette");
function openPalette() {
  if (!palette || palette.open) return;
  palette.showModal();
  const input = $("input", palette);
  input.select();
  input.focus();
}
const hits = () => $$(".hit", palette);
function choose(i) {
  const all = hits();
  all.forEach((h, n) => { h.setAttribute("aria-selected", n === i); h.id ||= "hit-" + n; });
  all[i]?.scrollIntoView({ block: "nearest" });
  if (all[i]) $("input", palette).setAttribute("aria-activedescendant", all[i].id);
}
palette?.addEventListener("input", (e) => { if (e.target.value.startsWith("/")) e.target.value = e.target.value.slice(1); }, true); // the key that opened it
palette?.addEventListener("htmx:after:swap", () => choose(0));
palette?.addEventListener("keydown", (e) => {
  const all = hits();
  const at = all.findIndex((h) => h.getAttribute("aria-selected") === "true");
  if (e.key === "ArrowDown") choose((at + 1) % all.length);
  else if (e.key === "ArrowUp") choose((at - 1 + all.length) % all.length);
  else if (e.key === "Enter") (all[at] || all[0])?.click();
  else return;
  e.preventDefault();
});
$("[data-palette]")?.addEventListener("focus", (e) => { e.target.blur(); openPalette(); });
for (const d of $$("dialog")) d.addEventListener("click", (e) => { if (e.target === d) d.close(); });

// ---- Keys. Not while typing, and never with a modifier that the browser wants.
let g = 0;
const go = { h: "/", v: "/vms", o: "/hosts", s: "/storage", i: "/images", t: "/tasks", e: "/events", a: "/account", r: "/access", w: "/networks" };
addEventListener("keydown", (e) => {
  if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "k") { e.preventDefault(); return openPalette(); }
  if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], .console-view") || $("dialog[open]") || document.body.classList.contains("bare")) return;
  if (Date.now() - g < 1200 && go[e.key]) { g = 0; return location.assign(go[e.key]); }
  switch (e.key) {
    case "/": e.preventDefault(); return openPalette();
    case "?": return doing.keys();
    case "g": g = Date.now(); return;
    case "t": return doing.drawer();
    case "n": { const a = $("main a[href^='/vms/new']"); return location.assign(a ? a.href : "/vms/new"); }
    case "f": { const f = $("#filter"); if (f) { e.preventDefault(); f.focus(); f.select(); } }
  }
});
