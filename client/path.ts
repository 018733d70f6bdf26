/**
 * Where a request goes: always below the client's own base URL. A path has to be what it resolves to, byte for byte, so
 * that nothing in it, such as `//host`, a backslash, `@`, `..` in any spelling or a `?` out of somebody's input, means
 * something else to the server than to its writer. Imports errors only.
 */
import { StepvaultClientError } from "./errors.ts";

type Value = string | number | boolean;
/** Of a list, each entry is given by itself. */
export type Query = Readonly<Record<string, Value | readonly Value[] | undefined>>;

/** Throws ERR_CLIENT_REQUEST. The path is not repeated in the message: what is wrong with it may be that it holds a key. */
export function requestUrl(base: URL, path: string, query: Query = {}): URL {
  const whole = base.pathname.replace(/\/$/, "") + path;
  const url = resolve(whole, base);
  const itself = url !== undefined && url.origin === base.origin && url.pathname === whole;
  if (!itself || !/^\/(?!\/)/.test(path))
    throw new StepvaultClientError(
      "ERR_CLIENT_REQUEST",
      "Cannot send the request: its path must begin with one slash and stay as it is below the base URL; " +
        "encode parts of it with encodeURIComponent, and give the query by itself",
    );
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value ?? []].flat()) url.searchParams.append(name, String(one));
  }
  return url;
}

function resolve(path: string, base: URL): URL | undefined {
  try {
    return new URL(path, base.origin);
  } catch {
    return undefined;
  }
}
