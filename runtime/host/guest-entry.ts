/**
 * Calls into a guest: one function per isolate through which everything enters, so that "nothing can wake this step any
 * more" is known exactly: no call is inside, no timer is set and no request is under way.
 */
import type ivm from "isolated-vm";
import type { HostError } from "../bridge/messages.ts";
import type { GuestPort } from "./guest-port.ts";

export type EnterGuest = (method: ivm.Reference, args: unknown[]) => void;

/**
 * `describeError` turns what isolated-vm throws, when the call itself fails, into the run's error; undefined when the
 * step may go on.
 */
export function createGuestEntry(
  port: GuestPort,
  describeError: (error: unknown) => HostError | undefined,
): EnterGuest {
  let inside = 0;
  const left = (): void => {
    inside -= 1;
    // Messages that the call sent were queued before its end, but may be handled after it.
    setImmediate(() => {
      if (inside === 0) failIfStalled(port);
    });
  };
  return (method, args) => {
    inside += 1;
    method.apply(undefined, args, { result: { copy: true } }).then(left, (error: unknown) => {
      const reason = describeError(error);
      if (reason === undefined) left();
      else port.fail(reason);
    });
  };
}

function failIfStalled(port: GuestPort): void {
  if (port.ended || port.outstanding > 0) return;
  port.fail({
    code: "ERR_STEP_STALLED",
    message: "Cannot finish the step: it awaits something that no timer and no request can settle",
  });
}
