// Passkeys: a form with data-passkey asks the server for a question, gives it to the browser, and sends the browser's answer along with the form. In a form whose
// first way is another one, the button with data-passkey-go does so.
const bytes = (s) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const text = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const ids = (list) => (list || []).map((c) => ({ ...c, id: bytes(c.id) }));

async function answer(what, url) {
  const r = await fetch(url, { method: "POST", headers: { Accept: "application/json" }, body: new URLSearchParams({ what }) });
  const said = await r.json();
  if (!r.ok) throw new Error([said.detail, said.fix].filter(Boolean).join(" "));
  const o = said.options;
  o.challenge = bytes(o.challenge);
  if (what === "add") {
    const c = await navigator.credentials.create({ publicKey: { ...o, user: { ...o.user, id: bytes(o.user.id) }, excludeCredentials: ids(o.excludeCredentials) } });
    const response = { clientDataJSON: text(c.response.clientDataJSON), attestationObject: text(c.response.attestationObject), transports: c.response.getTransports?.() || [] };
    return { state: said.state, credential: { id: c.id, rawId: text(c.rawId), type: c.type, response, clientExtensionResults: {} } };
  }
  const c = await navigator.credentials.get({ publicKey: { ...o, allowCredentials: ids(o.allowCredentials) } });
  const response = { clientDataJSON: text(c.response.clientDataJSON), authenticatorData: text(c.response.authenticatorData), signature: text(c.response.signature) };
  if (c.response.userHandle?.byteLength) response.userHandle = text(c.response.userHandle);
  return { state: said.state, credential: { id: c.id, rawId: text(c.rawId), type: c.type, response, clientExtensionResults: {} } };
}

async function go(form) {
  const wrong = form.querySelector("[role=alert][hidden], [role=alert].bad-text");
  const field = (name) => form.elements[name] || form.elements["proof_" + name];
  try {
    if (!window.PublicKeyCredential) throw new Error("This browser, or this address, cannot use passkeys. Open NovaCron by its name, over TLS.");
    const a = await answer(form.dataset.passkey, form.dataset.ask);
    field("state").value = a.state;
    field("credential").value = JSON.stringify(a.credential);
    const code = form.elements.proof_code;
    if (code) code.required = false;
    form.requestSubmit();
  } catch (e) {
    field("credential").value = "";
    wrong.textContent = e.name === "NotAllowedError" ? "No passkey was shown. Try again." : e.name === "InvalidStateError" ? "This device has a passkey for your account already." : e.message;
    wrong.hidden = false;
  }
}

if (!window.novaPasskeys) { // the module may be named by several parts of a page
  window.novaPasskeys = true;
  document.addEventListener("submit", (e) => {
    const form = e.target.closest?.("form[data-passkey]");
    if (!form || form.dataset.passkey === "sure" || form.elements.credential.value) return;
    e.preventDefault();
    e.stopImmediatePropagation();
    go(form);
  }, true);
  document.addEventListener("click", (e) => {
    const button = e.target.closest?.("[data-passkey-go]");
    if (button) go(button.form);
  });
}
