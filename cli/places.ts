/** `stepvault organizations` and `stepvault projects`: makes, lists and limits them, as the operator. */
import { type NetworkPolicy, networkPolicySchema } from "../protocol/job.ts";
import type { ProjectLimits } from "../vault/tenancy/tenancy.ts";
import type { Handlers } from "./commands.ts";
import { type Given, UsageError } from "./given.ts";
import { networkOf } from "./step-file.ts";
import { print, printDone, printOne } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

const cells = ({ id, name, createdAt }: { id: string; name: string; createdAt: Date }): string[] => [
  id,
  createdAt.toISOString(),
  name,
];
const head = ["id", "created", "name"];

export const organizationsHandlers: Handlers = {
  async create(given) {
    const name = given.required("NAME");
    const made = await withVault(async (vault) => await vault.tenancy.createOrganization(name));
    printDone(given, made, { data: made.id });
  },
  async list({ json }) {
    print(await withVault(async (vault) => await vault.tenancy.listOrganizations()), { json, head, cells });
  },
};

export const projectsHandlers: Handlers = {
  async create(given) {
    const wanted = { organizationId: given.required("organization"), name: given.required("NAME") };
    const made = await withVault(async (vault) => await vault.tenancy.createProject(wanted));
    printDone(given, made, { data: made.id });
  },
  async list(given) {
    const organizationId = given.required("organization");
    const projects = await withVault(async (vault) => await vault.tenancy.listProjects(organizationId));
    print(projects, { json: given.json, head, cells });
  },
  async show(given) {
    printOne(await withVault(async (vault) => await vault.tenancy.getProject(given.required("project"))), given);
  },
  async network(given) {
    const request = { projectId: given.required("project"), network: policyOf(given.operands) };
    printOne(await withVault(async (vault) => await vault.tenancy.setProjectNetwork(request)), given);
  },
  async limits(given) {
    const projectId = given.required("project");
    const wanted = limitsOf(given);
    if (Object.keys(wanted).length === 0) throw new UsageError("say which limit to change");
    const project = await withVault(async (vault) => {
      const { limits } = await vault.tenancy.getProject(projectId);
      return await vault.tenancy.setProjectLimits({ projectId, limits: { ...limits, ...wanted } });
    });
    printOne(project, given);
  },
};

function policyOf(words: readonly string[]): NetworkPolicy | null {
  if (words.length === 1 && words[0] === "step") return null;
  const parsed = networkPolicySchema.safeParse(networkOf("POLICY", words));
  if (parsed.success && !words.includes("step")) return parsed.data;
  throw new UsageError("POLICY is none, open, step, or rules such as GET api.example.com");
}

const limitOptions = {
  "runs-at-once-max": "runsAtOnceMax",
  "runs-per-minute-max": "runsPerMinuteMax",
  "retention-days": "retentionDays",
  "retention-bytes-max": "retentionBytesMax",
} as const satisfies Record<string, keyof ProjectLimits>;

function limitsOf(given: Given): Partial<ProjectLimits> {
  return Object.fromEntries(
    Object.entries(limitOptions).flatMap(([option, field]) => {
      const text = given.text(option);
      if (text === undefined) return [];
      if (text !== "default" && !/^\d{1,16}$/.test(text)) throw new UsageError(`--${option} is a number or default`);
      return [[field, text === "default" ? null : Number(text)]];
    }),
  );
}
