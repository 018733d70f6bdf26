/**
 * What a step imports: names bound before it starts, and `import(…)` while it runs. The host compiles packages; here
 * only their namespaces arrive, which are objects of this isolate. Runs inside the isolate.
 */
import { jsonParse, send } from "./bridge.ts";

interface StaticImport {
  readonly package: string;
  readonly names: readonly { readonly name: string }[];
  readonly line: number;
  readonly column: number;
}

/** A name that a package does not export: told as an error of the code, with the place of the import. */
export class MissingExport {
  readonly message: string;
  readonly line: number;
  readonly column: number;

  constructor(name: string, { package: from, line, column }: StaticImport) {
    this.message = `Cannot import "${name}" from package "${from}": it has no such export`;
    this.line = line;
    this.column = column;
  }
}

/** The values of imported names, in order. Throws a MissingExport. */
export function importedValues(imports: readonly StaticImport[], namespaces: readonly object[]): unknown[] {
  return imports.flatMap((statement, i) =>
    statement.names.map(({ name }) => {
      const namespace = namespaces[i]!;
      if (name === "*") return namespace;
      if (!(name in namespace)) throw new MissingExport(name, statement);
      return (namespace as Record<string, unknown>)[name];
    }),
  );
}

interface PendingImport {
  resolve(namespace: object): void;
  reject(error: Error): void;
}

const pendingImports = new Map<number, PendingImport>();
let lastImportId = 0;

/** What stands for `import` in the step's code. */
export async function importPackage(specifier: unknown): Promise<object> {
  const name = String(specifier);
  const id = ++lastImportId;
  return await new Promise((resolve, reject) => {
    pendingImports.set(id, { resolve, reject });
    send({ type: "import", id, name: name.slice(0, 1_000) });
  });
}

/** Called by the host with a namespace, or with the JSON text of why there is none. */
export function imported(id: number, failure: string | undefined, namespace?: object): void {
  const pending = pendingImports.get(id);
  pendingImports.delete(id);
  if (pending === undefined) return;
  if (namespace !== undefined) {
    // As with `import(…)` itself: a package that exports `then` is asked for its own promise.
    pending.resolve(namespace);
    return;
  }
  const { code, message } = jsonParse(failure ?? "{}") as { code: string; message: string };
  pending.reject(Object.assign(new Error(message), { code }));
}
