// Gives a name to what Swagger UI draws without one, and draws anew whenever a call is unfolded.
"use strict";

const sheet = document.getElementById("swagger-ui");

function name(element, label) {
  if (element.getAttribute("aria-label") !== label) element.setAttribute("aria-label", label);
}

function call(element) {
  const block = element.closest(".opblock");
  const part = (of) => block?.querySelector(of)?.textContent.trim() ?? "";
  return `${part(".opblock-summary-method")} ${part(".opblock-summary-path")}`;
}

function nameAll() {
  for (const field of sheet.querySelectorAll("tr[data-param-name] select")) {
    name(field, field.closest("tr").dataset.paramName);
  }
  for (const field of sheet.querySelectorAll("textarea.body-param__text")) name(field, `Body of ${call(field)}`);
  for (const table of sheet.querySelectorAll("table.responses-table[role]")) name(table, `Responses of ${call(table)}`);
  for (const button of sheet.querySelectorAll("button.close-modal")) name(button, "Close");
}

new MutationObserver(nameAll).observe(sheet, { childList: true, subtree: true });
nameAll();
