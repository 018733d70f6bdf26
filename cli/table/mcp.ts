/** `stepvault mcp` in the table of commands. Data only. */
import type { CommandEntry } from "./types.ts";

export const mcpCommandEntry: CommandEntry = {
  name: "mcp",
  summary: "published steps as tools for MCP clients",
  actions: [
    {
      name: "",
      summary: "Offers a project's published steps as tools to an MCP client",
      more: `The client starts this command and speaks with it over stdin and stdout. A call of a tool runs its step with the
arguments as params and gives the output; docs/mcp.md tells more.`,
      place: "project",
      options: [
        { name: "url", value: "URL", help: "where the API is: https, or http on loopback", required: true },
        {
          name: "key-file",
          value: "FILE",
          help: "file with a platform key of the scopes trigger and read:runs; else STEPVAULT_KEY_FILE names it",
          values: "files",
        },
        { name: "refresh", value: "SECONDS", help: "how often to look for other steps; 10", between: [1, 3_600] },
      ],
      json: false,
      examples: ["stepvault mcp --url https://stepvault.example.com --project PROJECT_ID --key-file key.txt"],
    },
  ],
};
