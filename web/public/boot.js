// Runs before the first paint, so that a dark page never flashes white.
// A file of its own because the Content-Security-Policy allows no inline script.
(function () {
  var root = document.documentElement;
  var read = function (key) {
    try {
      return localStorage.getItem(key);
    } catch {
      return null;
    }
  };
  var theme = read("millstream.theme");
  var dark = theme === "dark" || (theme !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  root.dataset.theme = location.pathname.indexOf("/screen/") === 0 ? "screen" : dark ? "dark" : "light";
  var language = read("millstream.language") || navigator.language || "en";
  var chinese = language.toLowerCase().indexOf("zh") === 0;
  root.lang = chinese ? "zh-CN" : "en";
  if (chinese) root.dataset.delta = "cn";
})();
