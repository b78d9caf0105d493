"use strict";
// Sends a dropped or chosen image, and shows what comes back. Texts need no script: the form asks for a page.
const drop = document.getElementById("drop");
if (drop) {
  const file = document.getElementById("image");
  const preview = document.getElementById("preview");
  const results = document.getElementById("results");
  const message = document.getElementById("message");
  const search = async (image) => {
    message.textContent = "";
    if (preview.src) URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(image);
    preview.hidden = false;
    results.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch("/results", { method: "POST", body: image });
      const text = await answer.text();
      if (answer.ok) {
        results.innerHTML = text; // from the server's own template, which escapes all names
      } else {
        results.textContent = "";
        message.textContent = text;
      }
    } catch (error) {
      message.textContent = "The server does not answer: " + error.message;
    }
    results.removeAttribute("aria-busy");
  };
  file.addEventListener("change", () => file.files.length && search(file.files[0]));
  for (const kind of ["dragenter", "dragover"]) {
    addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
  }
  addEventListener("dragleave", () => drop.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer.files.length) search(event.dataTransfer.files[0]);
  });
}
