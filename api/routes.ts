/** Every route below /v1: what the API serves, and what the OpenAPI document is made of. */
import type { Route } from "./route.ts";
import { agentRoutes } from "./routes/agents.ts";
import { auditRoutes } from "./routes/audit.ts";
import { credentialRoutes } from "./routes/credentials.ts";
import { embedKeyRoutes } from "./routes/embed-keys.ts";
import { keyRoutes } from "./routes/keys.ts";
import { leakRoutes } from "./routes/leaks.ts";
import { memberRoutes } from "./routes/members.ts";
import { organizationRoutes } from "./routes/organizations.ts";
import { projectLimitRoutes } from "./routes/project-limits.ts";
import { runRoutes } from "./routes/runs.ts";
import { scheduleRoutes } from "./routes/schedules.ts";
import { secretRoutes } from "./routes/secrets.ts";
import { stepRoutes } from "./routes/steps.ts";
import { sessionRoutes } from "./routes/sessions.ts";

export const apiRoutes: readonly Route[] = [
  ...organizationRoutes,
  ...projectLimitRoutes,
  ...memberRoutes,
  ...keyRoutes,
  ...embedKeyRoutes,
  ...agentRoutes,
  ...credentialRoutes,
  ...runRoutes,
  ...stepRoutes,
  ...scheduleRoutes,
  ...sessionRoutes,
  ...secretRoutes,
  ...leakRoutes,
  ...auditRoutes,
];
