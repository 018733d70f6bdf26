/**
 * A mark that only redacted data carries. What stores and sends a step's text accepts nothing else, so that a path
 * around the redactor does not compile. The mark exists in types only; worker/run-redaction.ts is the one file that puts
 * it on. Imports nothing of ours.
 */
declare const redacted: unique symbol;

export type Redacted<T> = T & { readonly [redacted]: true };
