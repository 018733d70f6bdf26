/**
 * Loads packages into the isolate of a run: reads and compares a file, compiles it as a module and links it with the
 * packages that it imports itself. Each is loaded once and only when a step asks. A resolver of isolated-vm must not
 * throw, so all that is needed is compiled before anything is linked.
 */
import type ivm from "isolated-vm";
import { StepvaultError } from "../../protocol/error.ts";
import type { JavaScriptPackage } from "../javascript-packages.ts";
import { packagesError, readPackage } from "../packages.ts";

export class PackageLoader {
  #isolate: ivm.Isolate;
  #context: ivm.Context;
  #packages: readonly JavaScriptPackage[];
  #modules = new Map<string, ivm.Module>();
  #loaded = new Map<string, Promise<ivm.Reference>>();

  constructor(isolate: ivm.Isolate, context: ivm.Context, packages: readonly JavaScriptPackage[]) {
    this.#isolate = isolate;
    this.#context = context;
    this.#packages = packages;
  }

  /** A Reference to the package's namespace. Rejects with ERR_PACKAGE_UNKNOWN or ERR_PACKAGES_INVALID. */
  async load(name: string): Promise<ivm.Reference> {
    const loading = this.#loaded.get(name) ?? this.#link(name);
    this.#loaded.set(name, loading);
    return await loading;
  }

  async #link(name: string): Promise<ivm.Reference> {
    const needed = [name];
    for (const next of needed) needed.push(...(await this.#compile(next)).filter((other) => !needed.includes(other)));
    const module = this.#modules.get(name)!;
    try {
      await module.instantiate(this.#context, (specifier) => this.#modules.get(specifier)!);
      await module.evaluate();
    } catch (error) {
      // A message of the package's own; it holds nothing of a run, as nothing of one has been there.
      throw packagesError(
        `${name} does not load: ${error instanceof Error ? error.message.slice(0, 300) : "it threw"}`,
      );
    }
    return module.namespace;
  }

  /** Compiles one file and gives the names of the packages that it imports. */
  async #compile(name: string): Promise<readonly string[]> {
    const known = this.#modules.get(name);
    if (known !== undefined) return known.dependencySpecifiers;
    const source = readPackage(findPackage(this.#packages, name)).toString("utf8");
    const module = await this.#isolate
      .compileModule(source, { filename: `package:${name}` })
      .catch((error: unknown) => {
        throw packagesError(
          `${name} is no ES module: ${error instanceof Error ? error.message.slice(0, 300) : "it does not parse"}`,
        );
      });
    this.#modules.set(name, module);
    return module.dependencySpecifiers;
  }
}

/** The package of this name; ERR_PACKAGE_UNKNOWN when there is none. */
export function findPackage(packages: readonly JavaScriptPackage[], name: string): JavaScriptPackage {
  const found = packages.find((entry) => entry.name === name);
  if (found !== undefined) return found;
  const shown = /^[@\w./-]{1,100}$/.test(name) ? ` "${name}"` : "";
  throw new StepvaultError("ERR_PACKAGE_UNKNOWN", `Cannot import${shown}: no package of this name is installed here`);
}
