/**
 * How client/operations.ts writes paths: `p` at the beginning is a project's, `o` an organization's, and `/v1` is left out.
 * That is a third of the library's bytes. Imports nothing.
 */

/** The whole path, with the names of its parts in braces. */
export function pathOf(short: string): string {
  const whole = short.replace(/^p(?=\/|$)/, "/projects/{projectId}");
  return `/v1${whole.replace(/^o(?=\/|$)/, "/organizations/{organizationId}")}`;
}
