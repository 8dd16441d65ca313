// The graphical console: noVNC over a websocket whose one-time address the server gives. Loaded only where a screen is shown.
import RFB from "../vendor/novnc/core/rfb.js";

const view = document.getElementById("console");
const status = document.getElementById("console-status");
const via = document.getElementById("console-via");
const text = document.getElementById("console-text");
const fit = document.querySelector("[data-console-scale]");
let rfb, tries = 0, timer;

const say = (s) => { status.textContent = s; };

async function connect() {
  clearTimeout(timer);
  delete view.dataset.connected;
  rfb?.disconnect();
  rfb = null;
  say("Connecting …");
  let ticket;
  try {
    const answer = await fetch(view.dataset.ticket, { method: "POST", headers: { Accept: "application/json" } });
    ticket = await answer.json();
    if (!answer.ok) return say([ticket.detail || ticket.title || `The server answered ${answer.status}.`, ticket.fix].filter(Boolean).join(" "));
  } catch {
    return again("The server does not answer.");
  }
  if (ticket.via && via) via.textContent = `${via.textContent.split(" The server reaches")[0]} The server reaches the guest: ${ticket.via.replace(/\.$/, "")}.`;
  view.replaceChildren();
  const at = new URL(ticket.url, location.href);
  at.protocol = at.protocol.replace("http", "ws");
  const mine = rfb = new RFB(view, at.href, { shared: true });
  rfb.scaleViewport = fit?.checked ?? true;
  rfb.background = "#06080b";
  rfb.focusOnClick = true;
  mine.addEventListener("connect", () => { tries = 0; say("Connected"); view.dataset.connected = "true"; mine.focus(); });
  mine.addEventListener("disconnect", (e) => {
    if (mine !== rfb) return;
    delete view.dataset.connected;
    again(e.detail.clean ? "The console has closed." : "The connection was lost.");
  });
  mine.addEventListener("clipboard", (e) => { if (text) text.value = e.detail.text; });
  mine.addEventListener("securityfailure", (e) => say(`The screen refused the connection: ${e.detail.reason || "no reason given"}.`));
  mine.addEventListener("desktopname", (e) => { view.setAttribute("aria-label", `Screen of ${e.detail.name || view.dataset.name}`); });
}

// again tries a few times with growing pauses; a VM that was shut down stays quiet after that.
function again(why) {
  if (document.hidden || tries >= 5) return say(`${why} Press Reconnect to try again.`);
  const wait = 1 << tries++;
  say(`${why} Trying again in ${wait} s …`);
  timer = setTimeout(connect, wait * 1000);
}

// Keys by their place on a US keyboard, so that the guest gets scan codes; what has no place goes as a symbol.
const XK = { ShiftLeft: 0xffe1, ControlLeft: 0xffe3, AltLeft: 0xffe9, MetaLeft: 0xffeb, Delete: 0xffff, Escape: 0xff1b, Tab: 0xff09, Enter: 0xff0d, F1: 0xffbe, F2: 0xffbf, F7: 0xffc4 };
const places = new Map();
const row = (plain, shifted, codes) => codes.forEach((c, i) => { places.set(plain[i], [c, false]); places.set(shifted[i], [c, true]); });
row("`1234567890-=", "~!@#$%^&*()_+", ["Backquote", ...[..."1234567890"].map((d) => "Digit" + d), "Minus", "Equal"]);
row("[]\\;',./", "{}|:\"<>?", ["BracketLeft", "BracketRight", "Backslash", "Semicolon", "Quote", "Comma", "Period", "Slash"]);
for (const l of "abcdefghijklmnopqrstuvwxyz") { places.set(l, ["Key" + l.toUpperCase(), false]); places.set(l.toUpperCase(), ["Key" + l.toUpperCase(), true]); }
places.set(" ", ["Space", false]).set("\n", ["Enter", false]).set("\t", ["Tab", false]);

const press = (name, down) => rfb.sendKey(XK[name], name, down);
function combo(...names) {
  for (const n of names) press(n, true);
  for (const n of names.reverse()) press(n, false);
  rfb.focus();
}
async function type(s) {
  for (const ch of s.replaceAll("\r\n", "\n")) {
    const [code, shift] = places.get(ch) || [null, false];
    const cp = ch.codePointAt(0);
    const sym = XK[code] || (cp < 0x100 ? cp : 0x01000000 + cp);
    if (shift) press("ShiftLeft", true);
    rfb.sendKey(sym, code || "", true);
    rfb.sendKey(sym, code || "", false);
    if (shift) press("ShiftLeft", false);
    await new Promise((r) => setTimeout(r, 8)); // a guest's keyboard buffer is short
  }
}

const keys = {
  cad: () => { rfb.sendCtrlAltDel(); rfb.focus(); },
  "ctrl-alt-f1": () => combo("ControlLeft", "AltLeft", "F1"), "ctrl-alt-f2": () => combo("ControlLeft", "AltLeft", "F2"), "ctrl-alt-f7": () => combo("ControlLeft", "AltLeft", "F7"),
  "alt-tab": () => combo("AltLeft", "Tab"), esc: () => combo("Escape"), meta: () => combo("MetaLeft"),
  reconnect: () => { tries = 0; connect(); },
  full: () => document.fullscreenElement ? document.exitFullscreen() : view.closest(".console").requestFullscreen(),
};
for (const b of document.querySelectorAll("[data-console]")) b.addEventListener("click", () => {
  b.closest("details")?.removeAttribute("open");
  if (b.dataset.console === "reconnect" || b.dataset.console === "full" || rfb) keys[b.dataset.console]?.();
});
fit?.addEventListener("change", () => { if (rfb) { rfb.scaleViewport = fit.checked; rfb.clipViewport = !fit.checked; rfb.dragViewport = false; } });
document.getElementById("console-clip")?.addEventListener("submit", async (e) => {
  e.preventDefault();
  if (!rfb || !text.value) return;
  e.target.closest("details").open = false;
  rfb.clipboardPasteFrom(text.value);
  rfb.focus();
  await type(text.value);
});
connect();
