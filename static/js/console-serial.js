// The serial console: xterm.js over a websocket whose one-time address the server gives. Loaded only where a serial line is shown.
const view = document.getElementById("console");
const status = document.getElementById("console-status");
const text = document.getElementById("console-text");
const say = (s) => { status.textContent = s; };

// xterm writes its rules into <style> elements, which the page's content security policy forbids. Constructed style sheets are allowed,
// so it gets a stand-in with one behind it.
const make = document.createElement.bind(document);
document.createElement = (name, options) => {
  if (String(name).toLowerCase() !== "style") return make(name, options);
  const el = make("console-style");
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets.push(sheet);
  Object.defineProperty(el, "textContent", { get: () => "", set: (css) => sheet.replaceSync(css) });
  el.remove = () => { document.adoptedStyleSheets = document.adoptedStyleSheets.filter((s) => s !== sheet); Element.prototype.remove.call(el); };
  return el;
};

// The colours beyond the 256 it writes into style attributes, which are forbidden too; an element's style object is not.
const set = Element.prototype.setAttribute;
Element.prototype.setAttribute = function (name, value) {
  if (name === "style" && this.style) this.style.cssText = value;
  else set.call(this, name, value);
};

const term = new Terminal({
  cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches, scrollback: 5000, fontSize: 13, screenReaderMode: false,
  fontFamily: 'ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", Menlo, monospace',
  theme: { background: "#06080b", foreground: "#dfe5ee", cursor: "#7eabff", selectionBackground: "#2f4a78" },
});
const fit = new FitAddon.FitAddon();
term.loadAddon(fit);
term.open(view);
view.removeAttribute("role");
const refit = () => { try { fit.fit(); } catch { /* not laid out yet */ } };
refit();
new ResizeObserver(refit).observe(view);

let socket, tries = 0, timer;
const bytes = new TextEncoder();

async function connect() {
  clearTimeout(timer);
  delete view.dataset.connected;
  if (socket) { socket.onclose = null; socket.close(); }
  say("Connecting …");
  let ticket;
  try {
    const answer = await fetch(view.dataset.ticket, { method: "POST", headers: { Accept: "application/json" } });
    ticket = await answer.json();
    if (!answer.ok) return say([ticket.detail || ticket.title || `The server answered ${answer.status}.`, ticket.fix].filter(Boolean).join(" "));
  } catch {
    return again("The server does not answer.");
  }
  const at = new URL(ticket.url, location.href);
  at.protocol = at.protocol.replace("http", "ws");
  socket = new WebSocket(at);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { tries = 0; view.dataset.connected = "true"; say("Connected. Press Enter if nothing shows."); term.focus(); };
  socket.onmessage = (e) => term.write(typeof e.data === "string" ? e.data : new Uint8Array(e.data));
  socket.onclose = (e) => { delete view.dataset.connected; again(e.reason || "The console has closed."); };
}

function again(why) {
  if (document.hidden || tries >= 5) return say(`${why} Press Reconnect to try again.`);
  const wait = 1 << tries++;
  say(`${why} Trying again in ${wait} s …`);
  timer = setTimeout(connect, wait * 1000);
}

const send = (s) => { if (socket?.readyState === WebSocket.OPEN) socket.send(bytes.encode(s)); };
term.onData(send);
term.onSelectionChange(() => { if (text && term.hasSelection()) text.value = term.getSelection(); });
// Ctrl+Shift+C and Ctrl+Shift+V, as terminals do.
term.attachCustomKeyEventHandler((e) => {
  if (!(e.ctrlKey && e.shiftKey) || e.type !== "keydown") return true;
  if (e.code === "KeyC" && term.hasSelection()) { navigator.clipboard?.writeText(term.getSelection()).catch(() => {}); e.preventDefault(); return false; }
  if (e.code === "KeyV") { navigator.clipboard?.readText().then((s) => term.paste(s)).catch(() => {}); e.preventDefault(); return false; }
  return true;
});
document.getElementById("console-clip")?.addEventListener("submit", (e) => {
  e.preventDefault();
  e.target.closest("details").open = false;
  if (text.value) term.paste(text.value);
  term.focus();
});
const act = {
  reconnect: () => { tries = 0; connect(); },
  full: () => document.fullscreenElement ? document.exitFullscreen() : view.closest(".console").requestFullscreen(),
};
for (const b of document.querySelectorAll("[data-console]")) b.addEventListener("click", () => act[b.dataset.console]?.());
connect();
