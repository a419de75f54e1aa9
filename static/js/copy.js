// Buttons with data-copy copy the value of the field that they name, and say so.
document.querySelectorAll("button[data-copy]").forEach((button) => {
  const field = document.getElementById(button.dataset.copy);
  const status = document.getElementById(button.getAttribute("aria-describedby"));
  const label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      status.textContent = "The link is selected: copy it with your keyboard.";
      return;
    }
    button.textContent = "Copied";
    status.textContent = "The link is copied.";
    setTimeout(() => {
      button.textContent = label;
      status.textContent = "";
    }, 2000);
  });
});
