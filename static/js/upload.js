// Uploads into the image library. The element with data-upload holds the address; what is on it shows how far it is. The document listens, so that neither a
// file that was chosen before this came nor a page that is drawn anew is missed.
import { Carrying, guard, size } from "./carry.js";

const under = new WeakMap(); // what is being carried, by element
const parts = (box) => ["input[type=file]", "[data-upload-go]", "[data-upload-stop]", "[data-upload-bar]", "[data-upload-says]"].map((s) => box.querySelector(s));
const say = (box, text, bad = false) => { const says = parts(box)[4]; says.textContent = text; says.className = bad ? "bad-text" : "muted"; };

function chosen(box) {
  const [input, go] = parts(box), file = input.files[0];
  go.disabled = !file;
  say(box, file ? `${file.name}, ${size(file.size)}` : "");
}

async function carry(box) {
  const [input, go, stop, bar] = parts(box), file = input.files[0];
  if (!file) return;
  if (!file.size) return say(box, "The file is empty.", true);
  const running = (on) => { go.hidden = on; stop.hidden = !on; input.disabled = on; bar.hidden = !on && !bar.value; };
  const carrying = new Carrying(file, {
    url: box.dataset.upload, closes: true,
    tell(percent, text, more) { bar.value = percent; say(box, [text, more].filter(Boolean).join(", ")); },
    trouble: (message) => say(box, message, true),
  });
  under.set(box, carrying);
  running(true);
  const free = guard();
  try {
    const all = await carrying.run();
    free();
    if (all) { say(box, "All of it is there; it is being checked."); location.assign(location.href); } else say(box, "Paused. Press Upload to go on.");
  } catch (e) {
    say(box, e.message, true);
  } finally {
    free();
    running(false);
  }
}

addEventListener("change", (e) => {
  const box = e.target.type === "file" && e.target.closest?.("[data-upload]");
  if (box) chosen(box);
});
addEventListener("click", (e) => {
  const box = e.target.closest?.("[data-upload]");
  if (!box) return;
  if (e.target.closest("[data-upload-go]")) carry(box);
  if (e.target.closest("[data-upload-stop]")) under.get(box)?.hold();
});
for (const box of document.querySelectorAll("[data-upload]")) if (parts(box)[0].files.length) chosen(box);
