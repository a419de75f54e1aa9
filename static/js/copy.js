// Buttons with data-copy copy the field that they name, or what data-copied holds, and say so in their own words.
document.querySelectorAll("button[data-copy]").forEach((button) => {
  const field = document.getElementById(button.dataset.copy);
  const status = document.getElementById(button.getAttribute("aria-describedby"));
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(button.dataset.copied || field.value);
    } catch {
      status.textContent = button.dataset.copyFailed || "";
      return;
    }
    button.textContent = button.dataset.copyLabel || label;
    status.textContent = button.dataset.copyDone || "";
    setTimeout(() => {
      button.textContent = label;
      status.textContent = "";
    }, 2000);
  });
});
