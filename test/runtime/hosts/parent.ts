/** Stands for a worker that is about to die: has a step spin in a host, inside the layers that argv names. */
import { parseConfig } from "../../../protocol/config.ts";
import { chooseLayers, layerChains } from "../../../runtime/layers.ts";
import { Sandbox } from "../../../runtime/sandbox.ts";
import { limitNames, type Limits, limitTable } from "../../../protocol/limits.ts";

const [, , chain = "none", cacheDir = ""] = process.argv;
const layers = await chooseLayers(layerChains[chain as keyof typeof layerChains]);
const sandbox = new Sandbox({ ...parseConfig({}).hosts, hostsIdleMax: 0, cacheDir, layers });
const limits = Object.fromEntries(limitNames.map((name) => [name, limitTable[name].default])) as Limits;
await sandbox.run(
  { projectId: "p", language: "javascript", code: "for (;;);", params: {}, steps: {}, limits, network: "none" },
  {
    resolve: async () => ({ values: new Map(), inputs: {} }),
    onEvent: ({ kind }) => void (kind === "started" && process.stdout.write("started")),
  },
);
