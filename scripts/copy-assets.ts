/**
 * The second half of `npm run build`: copies into dist/ what the compiled code reads beside itself and the compiler
 * leaves out. That is every file of the product's folders that is not TypeScript (Python of the interpreter, SQL
 * migrations, the demo's steps), and package.json, which tells Node that the files are ES modules. Copying by folder
 * and not by list, so that a new asset cannot be forgotten.
 */
import { cpSync, existsSync, readdirSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = path.join(root, "dist");
const notCopied = new Set(["bench", "dist", "docs", "node_modules", "scripts", "test"]);

if (!existsSync(target)) throw new Error("dist/ is not there: run tsc -p tsconfig.build.json first");

const folders = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !entry.name.startsWith(".") && !notCopied.has(entry.name))
  .map(({ name }) => name);

for (const folder of folders) {
  cpSync(path.join(root, folder), path.join(target, folder), {
    recursive: true,
    filter: (source) => statSync(source).isDirectory() || !/\.(ts|md)$/.test(source),
  });
}
cpSync(path.join(root, "package.json"), path.join(target, "package.json"));
