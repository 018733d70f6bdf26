/**
 * The existing name that a mistyped one most likely means, for error messages.
 */

/** The closest of `names` to `name`, case aside; undefined when none is close enough to be meant. */
export function closestName(name: string, names: Iterable<string>): string | undefined {
  let closest: string | undefined;
  // A third of the letters wrong is no slip any more; the limit also keeps short names from matching everything.
  let distanceMax = Math.max(1, Math.floor(name.length / 3));
  for (const candidate of names) {
    if (Math.abs(candidate.length - name.length) > distanceMax) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance > distanceMax) continue;
    closest = candidate;
    distanceMax = distance - 1;
    if (distanceMax < 0) break;
  }
  return closest;
}

/** Damerau-Levenshtein distance, restricted to swaps of neighbours: insert, delete, replace or swap one letter. */
function editDistance(from: string, to: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1];
      let cost = Math.min(previous[column]! + 1, current[column - 1]! + 1, previous[column - 1]! + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (swapped) cost = Math.min(cost, beforePrevious[column - 2]! + 1);
      current.push(cost);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[to.length]!;
}
