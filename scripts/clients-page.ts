/**
 * The text of docs/clients.md: which client libraries work in a step. Its table is what test/runtime/clients found, as
 * the files of results there have it; that test fails when the file says something else than it finds.
 */
import { readFileSync } from "node:fs";

interface Row {
  readonly library: string;
  readonly version: string;
  readonly title: string;
  readonly readable: string;
  readonly sealed: string;
}

export function clientsPage(): string {
  return `# Client libraries

<!-- Made by \`npm run docs\` from the results in test/runtime/clients/, which \`npx vitest run test/runtime/clients -u\` writes. -->

Which client libraries run in a step. Each row is a test: a step sends a request to a server that checks the credential.
With a readable secret the reference to it gives the step the value, with a [sealed](sealed-secrets.md) one a placeholder.

## JavaScript

The library, in this version, is bundled with

\`\`\`sh
npx esbuild axios --bundle --format=esm --platform=browser --outfile=packages/axios.js
\`\`\`

then locked as any [package](packages.md), and imported by the step.

| library | version | what the step does | with a readable secret | with a sealed secret |
| --- | --- | --- | --- | --- |
${linesOf("javascript")}

- Bundle for the browser: for \`--platform=neutral\` axios, stripe and the AWS SDK bring code for Node, and do not bundle.
- got is written on Node's \`http\` and its streams, for which there is nothing here. Use \`fetch\`, axios or ky, got's
  sister for the web, which bundles as the others do.
- axios sends a \`FormData\` with its content type by \`axios.postForm\`, not by \`axios.post\`: only in a browser's page does
  its web build find out by itself what it sends.
- Clients of the AWS SDK for services that answer in XML, such as S3, parse it with a browser's \`DOMParser\`. The SDK's
  own parser comes with \`--alias:@aws-sdk/xml-builder=./node_modules/@aws-sdk/xml-builder/dist-cjs/index.js\`.
- Streams of bytes (\`type: "bytes"\`) and their readers do not exist here. No library above has asked for them.

## Python

The packages are wheels made from Debian's; how they differ from elsewhere is told in [packages](packages.md#python).

| library | version | what the step does | with a readable secret | with a sealed secret |
| --- | --- | --- | --- | --- |
${linesOf("python")}
`;
}

function linesOf(language: "javascript" | "python"): string {
  const file = new URL(`../test/runtime/clients/${language}-results.json`, import.meta.url);
  const rows = JSON.parse(readFileSync(file, "utf8")) as Row[];
  const lines = rows.map(
    ({ library, version, title, readable, sealed }) =>
      `| \`${library}\` | ${version} | ${title} | ${readable} | ${sealed} |`,
  );
  return lines.join("\n");
}
