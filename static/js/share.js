// The links to share follow the message as it is written; without this file, a button puts the message into them.
const message = document.querySelector("[data-share-message]");

if (message) {
  const links = document.querySelectorAll("[data-share]");
  const follow = () => {
    const text = message.value.trim();
    links.forEach((link) => {
      const both = `${text}\n${link.dataset.shareAddress}`.trim();
      link.href = link.dataset.share
        .replace("{message}", () => encodeURIComponent(text))
        .replace("{text}", () => encodeURIComponent(both));
    });
  };
  message.addEventListener("input", follow);
  follow();
  document.querySelectorAll("[data-share-use]").forEach((button) => {
    button.hidden = true;
  });

  document.querySelectorAll("[data-share-sheet]").forEach((button) => {
    button.hidden = !navigator.share;
    button.addEventListener("click", () => {
      const { shareSheet: url, shareTitle: title } = button.dataset;
      // Closing the sheet without a choice is no fault.
      navigator.share({ title, text: message.value.trim(), url }).catch(() => {});
    });
  });
}
