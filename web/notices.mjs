// The licence texts of the packages that go into the web app, on standard
// output: every package of package-lock.json that is not for development only.
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const web = dirname(fileURLToPath(import.meta.url));
const { packages } = JSON.parse(readFileSync(join(web, "package-lock.json"), "utf8"));
// Peers of react-i18next and react-router that only a type checker reads.
const TYPES_ONLY = ["@types/react", "csstype", "typescript"];
const rule = (c) => c.repeat(80);

const out = ["npm packages in the web app."];
for (const [path, entry] of Object.entries(packages)) {
  if (path === "" || entry.dev || entry.peer === true || entry.optional) continue;
  const folder = join(web, path);
  const name = path.replace(/^.*node_modules\//, "");
  if (TYPES_ONLY.includes(name)) continue;
  const texts = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && /^(licen[cs]e|copying|notice)/i.test(entry.name))
    .map((entry) => entry.name)
    .sort()
    .map((file) => readFileSync(join(folder, file), "utf8").trim());
  if (texts.length === 0 && !entry.license) throw new Error(`${name} has neither a licence file nor a licence in its package.json`);
  out.push("", rule("="), `${name} ${entry.version} (${entry.license})`, rule("-"), "", texts.join("\n\n") || `Licensed under ${entry.license}; the package carries no text of it.`);
}
console.log(out.join("\n"));
