/**
 * A sandbox host process: serves runs one after the other, each in a session of its own with a new isolate. For each it
 * reads the step, is given the values of the secrets that the step refers to, runs it, destroys the isolate and says so.
 * It imports neither queue nor vault nor database; what it may do is decided by how it is started (runtime/layers.ts).
 */
import { StepvaultError } from "../../protocol/error.ts";
import { type HostError, rehearseMessages, type WorkerFrame, type WorkerMessage } from "../bridge/messages.ts";
import type { GuestPort } from "./guest-port.ts";
import { javascriptSessions } from "./javascript.ts";
import { createPythonSession, sendSnapshot } from "./python.ts";
import type { OpenSession, Session } from "./session.ts";
import { WorkerPipe, WorkerPort } from "./worker-port.ts";

type BootMessage = Extract<WorkerMessage, { type: "boot" }>;

interface Place {
  readonly port: WorkerPort;
  readonly session: Session;
  guest?: GuestPort;
  /** What the session does right now on the run's behalf; the step's own code is not among it. */
  work: Promise<void>;
}

let openSession: OpenSession | undefined;
/** The session of the run that is under way, or that the next run will have. */
let place: Place | undefined;

async function handle({ run, message }: WorkerFrame): Promise<void> {
  if (message.type === "boot") {
    if (message.language === "python" && message.snapshotFile === undefined) {
      await sendSnapshot(new WorkerPort(pipe), message);
    } else {
      openSession = sessionsOf(message);
      place = await openPlace(openSession);
      rehearseMessages();
    }
    pipe.send(0, { type: "ready" });
    return;
  }
  if (place === undefined) throw new StepvaultError("ERR_INTERNAL", "Cannot serve a run before the host is ready");
  const { port } = place;
  if (message.type === "prepare") {
    if (port.run !== 0) throw new StepvaultError("ERR_INTERNAL", "Cannot serve two runs at once");
    port.assign(run);
  }
  // What was sent to a run that is gone, such as the answer to its last request, is nobody's.
  if (port.run !== run) return;
  if (message.type === "response" || message.type === "signed") place.guest?.respond(message);
  else if (message.type === "release") await release(place);
  else await (place.work = work(place, message));
}

async function work(at: Place, message: Extract<WorkerMessage, { type: "prepare" | "execute" }>): Promise<void> {
  if (message.type === "execute") at.guest = await at.session.execute(message);
  else at.port.send({ type: "references", references: await at.session.prepare(message.code, message.language) });
}

/** Ends a run, and makes the place for the next one only when nothing of it is left. */
async function release({ port, session, work: lastWork }: Place): Promise<void> {
  port.close();
  place = undefined;
  await lastWork.catch(() => {});
  await session.dispose();
  pipe.send(port.run, { type: "idle" });
  if (openSession === undefined) return;
  place = await openPlace(openSession);
  pipe.send(0, { type: "ready" });
}

function sessionsOf({ language, packages = [], snapshotFile = "" }: BootMessage): OpenSession {
  if (language === "javascript") return javascriptSessions(packages);
  return async (port) => await createPythonSession(port, snapshotFile);
}

async function openPlace(open: OpenSession): Promise<Place> {
  const port = new WorkerPort(pipe);
  return { port, session: await open(port), work: Promise.resolve() };
}

function describe(error: unknown): HostError {
  if (!(error instanceof StepvaultError)) {
    // The text of a foreign error may quote the step or a value, so only its kind is told.
    const kind = error instanceof Error ? error.name : typeof error;
    return { code: "ERR_INTERNAL", message: `Cannot serve the run: an unexpected ${kind} in the sandbox host` };
  }
  return {
    code: error.code,
    message: error.message,
    ...(error.position === undefined ? {} : error.position),
    ...(error.guestStack === undefined ? {} : { stack: error.guestStack }),
  };
}

function fail(run: number, error: unknown): void {
  pipe.send(run, { type: "failed", error: describe(error) });
}

const pipe = new WorkerPipe(
  process.stdin,
  process.stdout,
  (frame) => void handle(frame).catch((error: unknown) => fail(frame.run, error)),
  endProcess,
);

/** The worker is gone. An ordinary exit would wait for the isolate's thread, which a step can keep busy for ever. */
function endProcess(): void {
  process.kill(process.pid, "SIGKILL");
  // The first process of a namespace takes no signal that it sends itself.
  process.abort();
}

process.on("uncaughtException", (error) => fail(place?.port.run ?? 0, error));
process.on("unhandledRejection", (error) => fail(place?.port.run ?? 0, error));
