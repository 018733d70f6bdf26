/**
 * Functions that take who acts as their first argument, with that given: how the `Vault` groups what can be done with it.
 */

// oxlint-disable-next-line typescript/no-explicit-any -- any parameters: the mapped type below keeps the real ones.
type Acting<Context> = (context: Context, ...rest: any[]) => unknown;

export type Bound<Functions> = {
  readonly [Name in keyof Functions]: Functions[Name] extends (context: never, ...rest: infer Rest) => infer Result
    ? (...rest: Rest) => Result
    : never;
};

export function bind<Context, Functions extends Readonly<Record<string, Acting<Context>>>>(
  context: Context,
  functions: Functions,
): Bound<Functions> {
  const bound = Object.entries(functions).map(([name, work]) => [
    name,
    (...rest: unknown[]): unknown => work(context, ...rest),
  ]);
  return Object.fromEntries(bound) as Bound<Functions>;
}
