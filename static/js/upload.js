// Uploads into the image library. The element with data-upload holds the address; what is on it shows how far it is.
import { Carrying, guard, size } from "./carry.js";

function wire(box) {
  const [input, go, stop, bar, says] = ["input[type=file]", "[data-upload-go]", "[data-upload-stop]", "[data-upload-bar]", "[data-upload-says]"].map((s) => box.querySelector(s));
  let carrying;
  const say = (text, bad = false) => { says.textContent = text; says.className = bad ? "bad-text" : "muted"; };
  const running = (on) => { go.hidden = on; stop.hidden = !on; input.disabled = on; bar.hidden = !on && !bar.value; };
  input.addEventListener("change", () => { go.disabled = !input.files.length; say(input.files.length ? `${input.files[0].name}, ${size(input.files[0].size)}` : ""); });
  stop.addEventListener("click", () => carrying.hold());
  go.addEventListener("click", async () => {
    const file = input.files[0];
    if (!file) return;
    if (!file.size) return say("The file is empty.", true);
    carrying = new Carrying(file, {
      url: box.dataset.upload, closes: true,
      tell(percent, text, more) { bar.value = percent; say([text, more].filter(Boolean).join(", ")); },
      trouble: (message) => say(message, true),
    });
    running(true);
    const free = guard();
    try {
      const all = await carrying.run();
      free();
      if (all) { say("All of it is there; it is being checked."); location.assign(location.href); } else say("Paused. Press Upload to go on.");
    } catch (e) {
      say(e.message, true);
    } finally {
      free();
      running(false);
    }
  });
}

for (const box of document.querySelectorAll("[data-upload]")) wire(box);
