// Forms with data-passkey ask the device for a passkey and send what it answers. Without passkeys, they stay hidden.
document.querySelectorAll("form[data-passkey]").forEach((form) => {
  const { passkey, options } = form.dataset;
  const credential = form.querySelector("input[name='credential']");
  const failed = form.querySelector("[role='alert']");
  if (!window.PublicKeyCredential || !window.webauthnJSON) {
    return;
  }
  form.hidden = false;

  const create = () => {
    const wanted = JSON.parse(options);
    const alone = form.querySelector("input[name='passwordless']")?.checked ?? false;
    const selection = wanted.publicKey.authenticatorSelection;
    selection.residentKey = alone ? "required" : "discouraged";
    selection.requireResidentKey = alone;
    if (alone) {
      selection.userVerification = "required";
    }
    return webauthnJSON.create(wanted);
  };
  const signIn = async () => {
    const response = await fetch(form.action, { headers: { Accept: "application/json" } });
    if (!response.ok) {
      throw new Error(response.statusText);
    }
    return webauthnJSON.get((await response.json()).request_options);
  };
  const prove = () => webauthnJSON.get(JSON.parse(options));
  const ask = { add: create, "sign-in": signIn, prove }[passkey];

  form.querySelector("button[type='button']").addEventListener("click", async () => {
    failed.hidden = true;
    try {
      credential.value = JSON.stringify(await ask());
    } catch {
      failed.hidden = false;
      return;
    }
    form.submit();
  });
});
