/**
 * The layers around a sandbox host's process, each by itself enough to keep a host that a step took over from files,
 * network and other processes: Node's permission model, limits of the kernel, namespaces, and a root folder that holds
 * the host's own files only. What the machine allows is tried out once, by starting a process that way; what it does
 * not allow is named with its reason, so that nobody takes a missing layer for one that is on.
 */
import { execFile } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import path from "node:path";
import { StepvaultError } from "../protocol/error.ts";
import { limitTable } from "../protocol/limits.ts";

export const layerNames = ["permission", "limits", "namespaces", "files"] as const;
export type LayerName = (typeof layerNames)[number];

export interface LayerState {
  readonly name: LayerName;
  readonly on: boolean;
  /** By what, or why not. */
  readonly detail: string;
}

/** A part of the command line that starts a host: the programs that go before Node, outermost first. */
interface Wrapper {
  readonly layers: readonly LayerName[];
  readonly program: string;
  readonly args: (needs: HostNeeds) => string[];
}

interface HostNeeds {
  /** Files and folders that the command reads. */
  readonly readable: readonly string[];
  /** The most memory that a run may be allowed. */
  readonly memoryBytesMax?: number | undefined;
}

export interface SandboxLayers {
  readonly states: readonly LayerState[];
  readonly wrappers: readonly Wrapper[];
}

interface Command {
  readonly program: string;
  readonly args: readonly string[];
}

const toolFolders = ["/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin"];
const probeTimeMsMax = 10_000;
/** An id that owns nothing, inside the namespace. */
const nobody = "65534";
/**
 * Private memory of a host beside the step's own, where the watchdog comes too late. Most of it is never touched: V8
 * reserves 512 MiB of room for code per isolate, which Linux counts, and of a host's isolates one is the host's own, one
 * runs, one waits for the next run and one may not be gone yet.
 */
const hostBytesMax = 3 * 1024 * 1024 * 1024;

/** No file of any size, so no core dump with values in it; few handles; bounded memory. */
const prlimit: WrapperRule = {
  tool: "prlimit",
  layers: ["limits"],
  args: ({ memoryBytesMax = limitTable.memoryBytesMax.max }) => {
    const dataBytesMax = memoryBytesMax + hostBytesMax;
    return ["--core=0:0", "--fsize=0:0", "--nofile=128:128", `--data=${dataBytesMax}:${dataBytesMax}`, "--"];
  },
};

/** Killed with its parent, and no program that it starts gains rights. Good to have, and no layer by itself. */
const setpriv: WrapperRule = {
  tool: "setpriv",
  layers: [],
  args: () => ["--pdeathsig", "KILL", "--no-new-privs", "--"],
};

const bubblewrap: WrapperRule = {
  tool: "bwrap",
  layers: ["namespaces", "files"],
  args: ({ readable }) => [
    ...`--unshare-user --unshare-all --uid ${nobody} --gid ${nobody} --hostname sandbox`.split(" "),
    ..."--die-with-parent --as-pid-1 --cap-drop ALL --clearenv".split(" "),
    ...[...sharedObjects(), ...readable].flatMap((file) =>
      existsSync(file) ? ["--ro-bind", realpathSync(file), file] : [],
    ),
    ..."--remount-ro / --chdir / --".split(" "),
  ],
};

const unshare: WrapperRule = {
  tool: "unshare",
  layers: ["namespaces"],
  args: () => [
    ...`--user --map-user=${nobody} --map-group=${nobody}`.split(" "),
    ..."--net --ipc --uts --pid --mount --mount-proc --fork --kill-child=KILL --".split(" "),
  ],
};

interface WrapperRule {
  readonly tool: string;
  readonly layers: readonly LayerName[];
  readonly args: (needs: HostNeeds) => string[];
}

/** Chains that are tried, best first. Bubblewrap itself sees to what setpriv does, and may need its own rights for it. */
const isolating: readonly (readonly WrapperRule[])[] = [[bubblewrap], [setpriv, unshare], [setpriv], []];

let detected: Promise<SandboxLayers> | undefined;

/** What this machine allows; tried out once per process. */
export async function detectLayers(): Promise<SandboxLayers> {
  return await (detected ??= chooseLayers(isolating));
}

/** Only these tools, where they work: for tests, which go without some of them. */
export async function chooseLayers(chains: readonly (readonly WrapperRule[])[]): Promise<SandboxLayers> {
  const reasons: string[] = [];
  const limits = await works([prlimit], reasons);
  for (const chain of chains) {
    const wrappers = await works([...(limits === undefined ? [] : [prlimit]), ...chain], reasons);
    if (wrappers !== undefined) return { wrappers, states: describe(wrappers, reasons) };
  }
  return { wrappers: [], states: describe([], reasons) };
}

/** The chains by the name of their strongest tool. */
export const layerChains = { bubblewrap: [[bubblewrap]], unshare: [[setpriv, unshare]], none: [[]] } as const;

/** Throws ERR_SANDBOX_LAYER when a layer is off. */
export function requireLayers({ states }: SandboxLayers): void {
  const off = states.filter(({ on }) => !on);
  if (off.length === 0) return;
  const list = off.map(({ name, detail }) => `${name} (${detail})`).join(", ");
  throw new StepvaultError(
    "ERR_SANDBOX_LAYER",
    `Cannot start: ${off.length} of ${states.length} sandbox layers are off: ${list}`,
  );
}

/** The command that starts another inside the layers. */
export function wrapCommand(
  { wrappers }: Pick<SandboxLayers, "wrappers">,
  command: Command,
  needs: HostNeeds,
): Command {
  return wrappers
    .toReversed()
    .reduce<Command>(
      (inner, { program, args }) => ({ program, args: [...args(needs), inner.program, ...inner.args] }),
      command,
    );
}

/** Node's own layer: no child processes, workers or network, and no files but these. */
export function permissionFlags(readable: readonly string[]): string[] {
  return ["--permission", "--allow-addons", ...readable.map((file) => `--allow-fs-read=${file}`)];
}

/** The chain's wrappers when a process that is started by them does run; else undefined, with the reason added. */
async function works(chain: readonly WrapperRule[], reasons: string[]): Promise<Wrapper[] | undefined> {
  const wrappers: Wrapper[] = [];
  for (const { tool, layers, args } of chain) {
    const program = findTool(tool);
    if (program === undefined) {
      reasons.push(`${tool} is not installed`);
      return undefined;
    }
    wrappers.push({ layers, program, args });
  }
  const { program, args } = wrapCommand(
    { wrappers },
    { program: process.execPath, args: ["--version"] },
    {
      readable: [process.execPath],
    },
  );
  const failure = await new Promise<string | undefined>((resolve) => {
    execFile(program, args, { env: {}, cwd: "/", timeout: probeTimeMsMax }, (error, _stdout, stderr) =>
      resolve(error === null ? undefined : (stderr.trim().split("\n")[0] ?? "")),
    );
  });
  if (failure === undefined) return wrappers;
  reasons.push(`${chain.at(-1)?.tool ?? "node"} does not work here: ${failure === "" ? "it failed" : failure}`);
  return undefined;
}

function findTool(name: string): string | undefined {
  return toolFolders.map((folder) => path.join(folder, name)).find((file) => existsSync(file));
}

function describe(wrappers: readonly Wrapper[], reasons: readonly string[]): LayerState[] {
  return layerNames.map((name) => {
    if (name === "permission") return { name, on: true, detail: "node" };
    const by = wrappers.filter(({ layers }) => layers.includes(name)).map(({ program }) => path.basename(program));
    const detail = by.length > 0 ? by.join(" + ") : [...new Set(reasons)].join("; ");
    return { name, on: by.length > 0, detail: detail === "" ? "not asked for" : detail };
  });
}

let knownSharedObjects: string[] | undefined;

/** The libraries that Node itself needs, as this process has loaded them. */
function sharedObjects(): string[] {
  if (knownSharedObjects !== undefined) return knownSharedObjects;
  // Without this a report looks up the names of the other ends of all connections.
  Object.assign(process.report, { excludeNetwork: true });
  const { sharedObjects: loaded } = process.report.getReport() as unknown as { sharedObjects: string[] };
  knownSharedObjects = loaded.filter((file) => path.isAbsolute(file) && !file.endsWith(".node"));
  return knownSharedObjects;
}
