// Uploads into volumes: a form that makes a volume of a file, or fills one that is there, with a checksum if one is given.
import { Carrying, Refused, guard, refusal } from "./carry.js";

function show(state, name, percent, text, more = "") {
  state.hidden = false;
  state.classList.remove("info", "warn", "bad", "ok");
  state.classList.add(name);
  if (percent !== null) state.querySelector("progress").value = percent;
  state.querySelector("[data-volume-upload-text]").textContent = text;
  state.querySelector("[data-volume-upload-more]").textContent = more;
}

// kind looks at how the file begins: what a qcow2 image holds is larger than the file.
async function kind(file) {
  const head = new DataView(await file.slice(0, 32).arrayBuffer());
  const whole = Math.ceil(file.size / 512) * 512;
  if (head.byteLength < 32 || head.getUint32(0) !== 0x514649fb) return { format: "raw", bytes: Math.max(whole, 1 << 20) };
  return { format: "qcow2", bytes: Number(head.getBigUint64(24)) };
}

async function create(file, form) {
  const { format, bytes } = await kind(file);
  const body = new URLSearchParams({ pool: form.elements.pool.value, name: form.elements.name.value || file.name, format, size_bytes: bytes, tenant: form.elements.tenant?.value || "", key: form.elements.key.value });
  const answer = await fetch(form.dataset.create, { method: "POST", body, headers: { Accept: "application/json" } });
  const text = await answer.text();
  if (!answer.ok) throw refusal(answer.status, text);
  return JSON.parse(text).id;
}

async function start(form) {
  const file = form.elements.file.files[0], sum = form.elements.sha256.value.trim().toLowerCase();
  const state = form.querySelector("[data-volume-upload-state]"), button = form.querySelector("[type=submit]"), hold = form.querySelector("[data-volume-upload-pause]");
  const free = guard();
  let carrying;
  button.disabled = true;
  try {
    if (!file.size) throw new Refused("The file is empty.");
    let id = form.dataset.made, fresh = false;
    if (form.dataset.create && !id) {
      show(state, "info", 0, "Making the volume …");
      id = form.dataset.made = await create(file, form);
      fresh = true;
    }
    carrying = new Carrying(file, {
      url: form.dataset.contents.replace("ID", id), query: sum ? "?sha256=" + sum : "", fresh,
      tell: (percent, text, more) => show(state, "info", percent, text, more),
      trouble: (message) => show(state, "warn", null, message),
    });
    hold.hidden = false;
    for (;;) {
      hold.textContent = "Pause";
      hold.onclick = () => carrying.hold();
      if (await carrying.run()) break;
      hold.textContent = "Go on";
      show(state, "info", null, "Paused.");
      await new Promise((on) => { hold.onclick = on; });
    }
    free();
    show(state, "ok", 100, "Everything is there.");
    location.assign(form.dataset.page.replace("ID", id));
  } catch (e) {
    show(state, "bad", 0, e.message);
    button.disabled = false;
    if (e.status === 422 && form.dataset.create && !carrying) form.elements.name.focus();
  } finally {
    hold.hidden = true;
    free();
  }
}

addEventListener("submit", (e) => {
  const form = e.target.closest?.("form[data-volume-upload]");
  if (!form) return;
  e.preventDefault();
  start(form);
});
addEventListener("change", (e) => {
  const form = e.target.closest?.("form[data-create]");
  const file = e.target.files?.[0];
  if (form && file && !form.elements.name.value) form.elements.name.value = file.name.replace(/[^A-Za-z0-9._+-]+/g, "-");
});
