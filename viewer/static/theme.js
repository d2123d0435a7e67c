// Runs before the page is painted, so that a chosen theme does not flash.
(() => {
  const THEMES = ["system", "light", "dark"];
  const KEY = "edge-viewer-theme";

  const read = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage can be forbidden
    }
  };
  const apply = (theme) => {
    document.documentElement.dataset.theme = theme;
  };
  let theme = THEMES.includes(read()) ? read() : "system";
  apply(theme);

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const name = () => {
      button.textContent = `Theme: ${theme}`;
    };
    name();
    button.addEventListener("click", () => {
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      apply(theme);
      name();
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // it then lasts as long as the page
      }
    });
  });
})();
