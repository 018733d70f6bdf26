/** The version of Stepvault, from its package: beside the folder of this file in a clone, and one further up in a build. */
import { readFileSync } from "node:fs";

export function version(): string {
  for (const place of ["../package.json", "../../package.json"]) {
    try {
      const manifest = JSON.parse(readFileSync(new URL(place, import.meta.url), "utf8")) as Record<string, unknown>;
      if (manifest["name"] === "stepvault") return String(manifest["version"]);
    } catch {
      // It is the other one.
    }
  }
  return "unknown";
}
