// Runs before the first paint. Imports nothing: it is loaded as a classic script.
{
  let theme: string | null = null;
  try {
    theme = localStorage.getItem("gavel-theme");
  } catch {
    // storage may be forbidden; the system's preference then holds
  }
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
}
