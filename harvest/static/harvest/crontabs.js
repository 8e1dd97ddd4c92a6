// On the page of a periodic task: the chosen crontab in words, beside the choice.
"use strict";

(() => {
    const words = JSON.parse(document.getElementById("readable-crontabs").textContent);
    const choice = document.getElementById("id_crontab");
    const shown = document.querySelector(".field-crontab_translation .readonly");
    if (choice && shown)
        choice.addEventListener("change", () => {
            shown.textContent = words[choice.value] ?? "-";
        });
})();
