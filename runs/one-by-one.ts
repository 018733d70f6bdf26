/**
 * Does something for each of several, one after the other: one for which it fails stops none of those behind it, as nobody's
 * work may wait for a project that is in trouble. Throws the first error once all have had their turn.
 */
export async function oneByOne<T>(
  items: readonly T[],
  work: (item: T) => Promise<unknown>,
  signal?: AbortSignal,
): Promise<void> {
  const errors: unknown[] = [];
  for (const item of items) {
    // Where all of them fail, each after a long wait, a process that is to stop could not.
    if (signal?.aborted === true) break;
    await work(item).catch((error: unknown) => errors.push(error));
  }
  if (errors.length > 0) throw errors[0];
}
