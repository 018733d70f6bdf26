/**
 * The one credential of a request: `Authorization: <project>:<key>` or `Bearer <key or token>`, or a session's cookie.
 * Strict in case and blanks, so that a proxy and this reader never see different ones. Checks no credential; a text that is
 * none is not repeated.
 */
import { StepvaultError } from "../../protocol/error.ts";
import { cookiesOf, type RequestHead, timesGiven } from "./request-head.ts";

export type Credential =
  | { readonly kind: "key"; readonly key: string; readonly projectId: string | undefined }
  | { readonly kind: "token"; readonly token: string; readonly projectId: string | undefined }
  | { readonly kind: "session"; readonly token: string };

/** Tokens have two dots, and keys none. `b64token` of RFC 6750, without what neither has. */
const bearer = /^Bearer (?<text>[0-9A-Za-z._-]+)$/;
/** As clients send it: what stands for the project is looked at only with a key that works. */
const projectKey = /^(?<projectId>[0-9A-Za-z_-]{1,64}):(?<text>[0-9A-Za-z._-]+)$/;

/** Throws ERR_UNAUTHENTICATED when there is none that can be read, ERR_CREDENTIAL_AMBIGUOUS when there is more than one. */
export function readCredential(head: RequestHead, cookieName: string | undefined): Credential {
  const cookies = cookieName === undefined ? [] : cookiesOf(head, cookieName);
  const headers = timesGiven(head, "authorization");
  if (headers + cookies.length > 1) {
    const found = `${headers} Authorization headers and ${cookies.length} session cookies`;
    throw new StepvaultError("ERR_CREDENTIAL_AMBIGUOUS", `Cannot tell who asks: the request has ${found}`);
  }
  const [token] = cookies;
  if (token !== undefined) return { kind: "session", token };
  if (headers === 0) throw refused("the request has no credential");
  const text = head.headers.authorization ?? "";
  const groups = (bearer.exec(text) ?? projectKey.exec(text))?.groups;
  if (groups === undefined)
    throw refused("the Authorization header is neither <project>:<key> nor Bearer <key or token>");
  const { text: given = "", projectId } = groups;
  return given.includes(".") ? { kind: "token", token: given, projectId } : { kind: "key", key: given, projectId };
}

function refused(why: string): StepvaultError {
  return new StepvaultError("ERR_UNAUTHENTICATED", `Cannot tell who asks: ${why}`);
}
