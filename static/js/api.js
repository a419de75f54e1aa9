// Names what Swagger UI draws without a name; it draws anew whenever a call is unfolded.
"use strict";

const sheet = document.getElementById("swagger-ui");

function label(element, words) {
  if (element.getAttribute("aria-label") !== words) element.setAttribute("aria-label", words);
}

function callOf(element) {
  const block = element.closest(".opblock");
  const part = (of) => block?.querySelector(of)?.textContent.trim() ?? "";
  return `${part(".opblock-summary-method")} ${part(".opblock-summary-path")}`;
}

function labelAll() {
  for (const field of sheet.querySelectorAll("tr[data-param-name] select")) {
    label(field, field.closest("tr").dataset.paramName);
  }
  for (const field of sheet.querySelectorAll("textarea.body-param__text")) label(field, `Body of ${callOf(field)}`);
  for (const table of sheet.querySelectorAll("table.responses-table[role]")) label(table, `Responses of ${callOf(table)}`);
  for (const button of sheet.querySelectorAll("button.close-modal")) label(button, "Close");
}

new MutationObserver(labelAll).observe(sheet, { childList: true, subtree: true });
labelAll();
