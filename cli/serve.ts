/**
 * The process that serves: a service, with a worker, the API or both, from its start to the end of its last request. Put
 * together here, as the API knows neither worker nor sandbox. A first signal lets running steps end, a second one hurries.
 */
import { registerServiceMetrics } from "../api/service-metrics.ts";
import { createMetrics } from "../api/metrics.ts";
import type { Api } from "../api/parts.ts";
import { createAuthenticator } from "../api/principal.ts";
import { ownOriginOf } from "../api/principals/own-origin.ts";
import { signInLink } from "../api/principals/sign-in-page.ts";
import { apiRoutes } from "../api/routes.ts";
import { createApi } from "../api/server.ts";
import type { Config } from "../protocol/config.ts";
import { StepvaultError } from "../protocol/error.ts";
import { Service } from "../worker/service.ts";

export interface Serving {
  readonly worker: boolean;
  readonly api: boolean;
  /** Told where the API answers, and a link to sign in with when people are the deployment's own. */
  readonly onListening?: (address: string, link: string | undefined) => void;
}

/** Serves until a signal. */
export async function serve(config: Config, { worker, api, onListening }: Serving): Promise<void> {
  const hurry = new AbortController();
  // Before anything is started, so that a signal in the middle of the start stops all of it too.
  const signalled = new Promise<string>((resolve) => {
    let signals = 0;
    const onSignal = (name: string): void => {
      signals += 1;
      if (signals > 1) hurry.abort();
      resolve(name);
    };
    for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, onSignal);
  });
  const service = await Service.open(config);
  let opened: OpenApi | undefined;
  try {
    if (worker) await service.startWorker();
    if (api) {
      opened = await openApi(service);
      onListening?.(opened.address, opened.link);
    }
    service.log.logger.info({ signal: await signalled }, "stopping");
  } finally {
    await opened?.close();
    await service.close({ hurry: hurry.signal });
  }
}

export interface OpenApi {
  readonly address: string;
  /** To sign in with, once, as the owner of a deployment without an issuer of tokens. */
  readonly link: string | undefined;
  close(): Promise<void>;
}

/** Starts the API of a service, listening. Throws ERR_API_LISTEN. */
export async function openApi(service: Service): Promise<OpenApi> {
  const { config, vault, database, runs, steps, schedules, log } = service;
  let port = config.api.port;
  const ownOrigin = (): ReturnType<typeof ownOriginOf> => ownOriginOf({ ...config.api, port });
  const authenticator = createAuthenticator({ vault, oidc: config.oidc, ownOrigin });
  const metrics = createMetrics();
  registerServiceMetrics(metrics.register, service);
  const api: Api = await createApi({
    config,
    vault,
    database,
    runs,
    steps,
    schedules,
    log: log.logger,
    authenticate: async (head) => await authenticator.authenticate(head),
    readiness: async () => await service.readiness(),
    routes: apiRoutes,
    metrics,
  });
  const address = await listen(api, config);
  port = Number(new URL(address).port);
  log.logger.info({ address }, "the API listens");
  const origin = ownOrigin()?.origins[0];
  const link = config.oidc === undefined && origin !== undefined ? await linkFor(service, origin) : undefined;
  return {
    address,
    link,
    async close() {
      await api.close();
      authenticator.close();
    },
  };
}

async function linkFor({ vault }: Service, origin: string): Promise<string> {
  const { personId } = await vault.people.ensureLocalOwner();
  const { token } = await vault.people.createSignInLink({ personId });
  return signInLink(origin, token);
}

async function listen(api: Api, { api: { host, port } }: Config): Promise<string> {
  try {
    return await api.listen();
  } catch (error) {
    await api.close();
    const reason = (error as NodeJS.ErrnoException).code ?? "no reason given";
    throw new StepvaultError("ERR_API_LISTEN", `Cannot listen on ${host} port ${port}: ${reason}`, { cause: error });
  }
}
