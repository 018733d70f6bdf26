/**
 * The page that a sign-in link opens. The link's token stands behind `#`, which no browser sends and no log of a server has;
 * the page's script takes it out of the address bar and posts it. Without one there is a field to paste a link into. Only
 * this very script and style run in it. Needs no files.
 */
import { createHash } from "node:crypto";
import type { FastifyInstance } from "fastify";

export const signInPath = "/sign-in";

/** What to print for whoever starts the API. The token must go to that person alone. */
export function signInLink(origin: string, token: string): string {
  return `${origin}${signInPath}#${token}`;
}

const style = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;margin:20vh auto;padding:0 1rem}
input{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.5rem 0}button{font:inherit;padding:.5rem 1rem}`;

/** The token never enters the page's text. What the server says is shown as text. */
const script = `"use strict";
const form = document.querySelector("form");
const input = document.querySelector("input");
const status = document.querySelector("[role=status]");
const tokenOf = (text) => text.trim().split("#").pop();
async function signIn(token) {
  form.hidden = true;
  status.textContent = "Signing in…";
  try {
    const response = await fetch("v1/sessions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token }),
      credentials: "same-origin",
      referrerPolicy: "no-referrer",
      redirect: "error",
    });
    if (response.ok) {
      status.textContent = "You are signed in.";
      return;
    }
    const problem = await response.json();
    status.textContent = String(problem.detail ?? "The sign-in failed.");
  } catch {
    status.textContent = "The sign-in failed: the server did not answer.";
  }
  form.hidden = false;
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const token = tokenOf(input.value);
  input.value = "";
  if (token !== "") void signIn(token);
});
function takeFromAddress() {
  const token = tokenOf(location.hash);
  if (location.hash !== "") history.replaceState(null, "", location.pathname);
  if (token !== "") void signIn(token);
}
window.addEventListener("hashchange", takeFromAddress);
takeFromAddress();`;

const html = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Sign in · Stepvault</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>Sign in</h1>
<p role="status"></p>
<form autocomplete="off">
<label for="link">The sign-in link, or what follows # in it</label>
<input id="link" type="password" required autocomplete="off" spellcheck="false" autofocus>
<button>Sign in</button>
</form>
<noscript><p>This page needs JavaScript.</p></noscript>
</main>
<script>${script}</script>
</body>
</html>
`;

interface Page {
  readonly html: string;
  readonly headers: Readonly<Record<string, string>>;
}

const signInPage: Page = {
  html,
  headers: {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": [
      "default-src 'none'",
      `script-src '${sourceOf(script)}'`,
      `style-src '${sourceOf(style)}'`,
      "connect-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join("; "),
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
  },
};

function sourceOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}

/** Serves the page; it is for everybody, as it holds nothing. */
export function registerSignInPage(app: FastifyInstance): void {
  app.get(signInPath, async (_request, reply) => await reply.headers(signInPage.headers).send(signInPage.html));
}
